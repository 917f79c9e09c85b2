// An Express server that knows nothing of tracing: @opentelemetry/auto-instrumentations-node is loaded before it (see
// the start script in package.json) and reads its settings from OTEL_* variables.
'use strict'

const express = require('express')

const app = express()

app.get('/', (_request, response) => {
  response.json({ message: 'Hello from the backend' })
})

app.get('/slow', (_request, response) => {
  setTimeout(() => response.json({ message: 'Sorry for the wait' }), 300)
})

app.get('/fail', () => {
  throw new Error('this route always fails')
})

// The headers as they arrived: shows which trace headers the gateway sent.
app.get('/headers', (request, response) => {
  response.json(request.headers)
})

const server = app.listen(Number(process.env.PORT ?? 3000), process.env.HOST ?? '0.0.0.0', (error) => {
  if (error) {
    throw error
  }
  console.log(`listening on ${JSON.stringify(server.address())}`)
})

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    server.close()
    server.closeIdleConnections()
  })
}
