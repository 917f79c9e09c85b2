//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package http1

import "syscall"

// examine prepares isQuiet.
func (c *conn) examine() {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	c.raw = raw
	buf := make([]byte, 1)
	c.peek = func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), buf, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		c.quiet = err == syscall.EAGAIN
	}
}

// isQuiet says whether the upstream neither closed the idle connection nor sent
// anything on it, in which case nothing read from it could be trusted. It does not
// block.
func (c *conn) isQuiet() bool {
	c.quiet = false
	return c.raw.Control(c.peek) == nil && c.quiet
}
