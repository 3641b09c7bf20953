// An ordinary Node server that says its version, slowly where asked.
require("node:http").createServer((request, answer) => {
  setTimeout(() => answer.end(`version ${process.env.VERSION} on ${process.env.PORT}`), request.url === "/slow" ? 300 : 0);
}).listen(Number(process.env.PORT), "127.0.0.1");
