//go:build unix

package traces

import "golang.org/x/sys/unix"

// arena gives zeroed memory outside of the garbage collector's heap: what is stored would otherwise let the heap grow
// by a multiple of itself (docs/decisions/0007-memory.md), and what is not used yet takes no memory at all. It is never
// given back. Where the system refuses, it is ordinary memory.
func arena(size int) []byte {
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return make([]byte, size)
	}
	return memory
}

func release(memory []byte) {
	// What did not come from Mmap is refused, and is the collector's.
	_ = unix.Munmap(memory)
}
