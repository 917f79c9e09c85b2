package loopback

import (
	"net"
	"testing"
)

func TestAddress(t *testing.T) {
	given := map[string]bool{}
	for range 200 {
		address := Address(t)
		if given[address] {
			t.Fatalf("%s was given twice", address)
		}
		given[address] = true
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
	}
}
