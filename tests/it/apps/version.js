// An ordinary Node server that says its version, slowly where asked. With LATE_MS it takes that long to listen.
const server = require("node:http").createServer((request, answer) => {
  setTimeout(() => answer.end(`version ${process.env.VERSION} on ${process.env.PORT}`), request.url === "/slow" ? 300 : 0);
});
setTimeout(() => server.listen(Number(process.env.PORT), "127.0.0.1"), Number(process.env.LATE_MS ?? 0));
