package entity

import (
	"strings"
	"testing"
)

func TestCompileLua(t *testing.T) {
	valid := []string{
		"return", "-- c", "local a = 1 kong.log.err('x')", "::a:: goto a", "local é = 1",
		"a = 0x1p4", "a = 1LL + 0xffULL + 2i", "return function() return 1 end", "a = 'bä'",
	}
	for _, chunk := range valid {
		if err := CompileLua(chunk); err != nil {
			t.Errorf("%q: got error %v, want none", chunk, err)
		}
	}
	invalid := []string{
		"x =", "return (", "goto x", "return 1 // 2", "x = 'unfinished", "end", "\x1bLua",
		strings.Repeat(" ", maxLuaChunk+1),
	}
	for _, chunk := range invalid {
		if err := CompileLua(chunk); err == nil {
			t.Errorf("%.20q: got no error, want one", chunk)
		}
	}
}

// The deepest nesting that fits must neither exhaust the stack nor take long.
func TestCompileLuaDepth(t *testing.T) {
	for _, unit := range []string{"{", "(", "-", "not ", "a.", "a..", "a^", "f{", "function() ", "do ", "if a then "} {
		chunk := strings.Repeat(unit, maxLuaChunk/len(unit)-16)
		for _, prefix := range []string{"return ", ""} {
			_ = CompileLua(prefix + chunk)
			_ = CompileLua(prefix + chunk + "a")
		}
	}
	closed := strings.Repeat("{", maxLuaChunk/2-16) + strings.Repeat("}", maxLuaChunk/2-16)
	_ = CompileLua("return " + closed)
}
