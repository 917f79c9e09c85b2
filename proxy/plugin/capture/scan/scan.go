// Package scan finds the few bytes of a text by which a secret may be known, many at a time.
package scan

import (
	"bytes"
	"encoding/binary"
)

// Kinds are kinds of bytes, a bit each.
type Kinds uint16

// The kinds that are told apart. What is none of them is not told.
const (
	NUL     Kinds = 1 << iota
	Equals        // =
	Special       // < and \, which do not stand for themselves in markup and in JSON
	Sign          // B and J, with which credentials and tokens begin
	_
	_
	_
	Colon  // :
	Beyond // what is not ASCII

	told = NUL | Equals | Special | Sign | Colon | Beyond
)

// Size is the bytes of text that a block is about.
const Size = 64

// Block tells where in Size bytes of text some stand: a bit for each byte, the lowest for the first.
type Block struct {
	Colons  uint64
	Numbers uint64 // digits, spaces and hyphens, which card numbers are made of
	Signs   uint64
}

// Text fills the blocks of a text of as many times Size bytes and gives the kinds that there are.
func Text(blocks []Block, text []byte) Kinds {
	if len(blocks) == 0 {
		return 0
	}
	return scan(blocks, text[:len(blocks)*Size])
}

const (
	ones  = 0x0101010101010101
	lows  = 0x7f * ones
	tops  = 0x80 * ones
	above = 0x80 // less a byte, what lifts that byte to the top bit
)

// portable is scan on any machine.
func portable(blocks []Block, text []byte) (kinds Kinds) {
	for _, of := range [...]struct {
		kind  Kinds
		bytes string
	}{{NUL, "\x00"}, {Equals, "="}, {Special, `<\`}} {
		for i := range len(of.bytes) {
			if bytes.IndexByte(text, of.bytes[i]) >= 0 {
				kinds |= of.kind
			}
		}
	}
	var colons, signs, beyond uint64
	for i := range blocks {
		block := Block{}
		for at, part := 0, text[i*Size:][:Size]; at < Size; at += 8 {
			word := binary.LittleEndian.Uint64(part[at:])
			ascii := ^word & tops
			low := word & lows
			digits := (low + (above-'0')*ones) &^ (low + (above-'9'-1)*ones)
			block.Colons |= bitsOf(equal(low, ':')&ascii) << at
			block.Numbers |= bitsOf((digits|equal(low, ' ')|equal(low, '-'))&ascii) << at
			block.Signs |= bitsOf(equal(low|('B'^'J')*ones, 'J')&ascii) << at
			beyond |= word
		}
		colons |= block.Colons
		signs |= block.Signs
		blocks[i] = block
	}
	if colons != 0 {
		kinds |= Colon
	}
	if signs != 0 {
		kinds |= Sign
	}
	if beyond&tops != 0 {
		kinds |= Beyond
	}
	return kinds
}

// equal has the top bit of each byte of word, all below 0x80, that is c.
func equal(word uint64, c byte) uint64 {
	return ^((word ^ uint64(c)*ones) + lows) & tops
}

// bitsOf makes a bit of the top bit of each byte, the lowest first. The other bits must be zero.
func bitsOf(word uint64) uint64 {
	return (word >> 7) * 0x0102040810204080 >> 56
}
