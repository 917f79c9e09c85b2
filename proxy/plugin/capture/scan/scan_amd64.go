package scan

import "golang.org/x/sys/cpu"

var hasAVX2 = cpu.X86.HasAVX2

// scan is Text of one block at least.
func scan(blocks []Block, text []byte) Kinds {
	if hasAVX2 {
		return Kinds(avx2(&blocks[0], &text[0], len(blocks))) & told
	}
	return portable(blocks, text)
}

// avx2 is scan of n blocks.
//
//go:noescape
func avx2(blocks *Block, text *byte, n int) uint16
