// Package loopback gives addresses that a test may tell to a program before the program listens on them.
package loopback

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// The ports that are given away. The kernel takes the ports of outgoing connections, and those that a listener on port
// 0 gets, from above: none of these is taken by accident between being given and being listened on.
const (
	first = 10000
	count = 20000
)

// Address gives host:port on loopback where nobody listens on TCP. Until the test ends no other call gives it, not in
// another process either: the UDP port of the same number is held as a mark.
func Address(t testing.TB) string {
	t.Helper()
	for range count {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(count)))
		mark, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			mark.Close()
			continue
		}
		listener.Close()
		t.Cleanup(func() { mark.Close() })
		return address
	}
	t.Fatal("no address is free")
	return ""
}
