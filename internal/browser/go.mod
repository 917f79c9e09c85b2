// Not a module of Go: this file keeps the Go files of Node.js packages out of ./...
module browser

go 1.26
