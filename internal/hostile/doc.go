// Package hostile holds tests that send the program what no honest client sends: messages with two readings, HTTP/2
// connections that only cost, clients that stop in the middle. They drive the real program, which they build.
package hostile
