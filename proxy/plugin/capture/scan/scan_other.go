//go:build !amd64

package scan

// scan is Text of one block at least.
func scan(blocks []Block, text []byte) Kinds { return portable(blocks, text) }
