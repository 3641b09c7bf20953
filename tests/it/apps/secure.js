// An application that speaks only HTTP/2 inside TLS, takes a while to be ready, and says back what comes by WebSocket (RFC 8441).
const { readFileSync } = require('fs')
const http2 = require('http2')

let asked = 0
const server = http2.createSecureServer({
  key: readFileSync(process.env.KEY),
  cert: readFileSync(process.env.CHAIN),
  settings: { enableConnectProtocol: true }
})

// One short frame of a client, unmasked (RFC 6455 section 5.2): what a server may send back.
function unmasked (frame) {
  const length = frame[1] & 0x7f
  const back = Buffer.concat([Buffer.from([frame[0], length]), frame.subarray(6, 6 + length)])
  for (let i = 0; i < length; i++) back[2 + i] ^= frame[2 + i % 4]
  return back
}

server.on('stream', (stream, headers) => {
  if (headers[':protocol'] === 'websocket') {
    stream.respond({ ':status': 200 })
    stream.on('data', frame => stream.write(unmasked(frame)))
    stream.on('end', () => stream.end())
    return
  }
  stream.respond({ ':status': 200, 'content-type': 'text/plain' })
  if (headers[':path'] === '/ready') {
    asked++
    stream.end(asked > 3 ? 'ready to serve' : 'starting')
  } else {
    stream.end(`asked ${asked} times before`)
  }
})
server.listen(Number(process.env.PORT), '127.0.0.1')
