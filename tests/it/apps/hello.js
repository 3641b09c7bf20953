// An ordinary Node server: it knows only $PORT.
require("node:http").createServer((request, answer) => {
  answer.setHeader("content-type", "text/plain");
  answer.end(`hello ${request.headers["x-forwarded-for"]} ${request.headers.host} from ${process.pid}`);
}).listen(Number(process.env.PORT), "127.0.0.1");
