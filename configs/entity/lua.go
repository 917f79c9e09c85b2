package entity

import (
	"errors"
	"regexp"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// luaJITNumber is what LuaJIT reads as a number and Lua 5.1 does not: hexadecimal floats and the suffixes LL, ULL, i.
var luaJITNumber = regexp.MustCompile(`\b0[xX][0-9a-fA-F.]+[pP][+-]?[0-9]+\b|\b([0-9]+|0[xX][0-9a-fA-F]+)(?i:u?ll|i)\b`)

// Bounds of a chunk: the compiler's stack grows with the depth of nesting, and its time with the square of it, most of
// all for chains of powers.
const (
	maxLuaChunk  = 64 << 10
	maxLuaPowers = 1000
)

// CompileLua reports why a chunk of Lua is not valid, nil if it is. The language is that of LuaJIT, so a chunk with
// LuaJIT's own number formats or with identifiers beyond ASCII is valid though gopher-lua could not run it.
func CompileLua(chunk string) error {
	if strings.HasPrefix(chunk, "\x1b") {
		return errors.New("bytecode is not allowed")
	}
	if len(chunk) > maxLuaChunk {
		return errors.New("chunk is longer than 64 KiB")
	}
	if strings.Count(chunk, "^") > maxLuaPowers {
		return errors.New("chunk has more than 1000 of ^")
	}
	ascii := []byte(luaJITNumber.ReplaceAllString(chunk, "0"))
	for i, c := range ascii {
		if c >= 0x80 {
			ascii[i] = 'u'
		}
	}
	statements, err := parse.Parse(strings.NewReader(string(ascii)), "chunk")
	if err != nil {
		return err
	}
	_, err = lua.Compile(statements, "chunk")
	return err
}
