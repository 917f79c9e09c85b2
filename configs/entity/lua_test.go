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

// Chunks that nest as deep as the bounds allow must neither exhaust the stack nor take minutes.
func TestCompileLuaDepth(t *testing.T) {
	for _, unit := range []string{"{", "not ", "a.."} {
		chunk := "return " + strings.Repeat(unit, (maxLuaChunk-8)/len(unit))
		if err := CompileLua(chunk); err == nil {
			t.Errorf("%s…: got no error, want one for a chunk that is cut off", unit)
		}
	}
	for powers, want := range map[int]bool{100: true, maxLuaPowers + 1: false} {
		if got := CompileLua("return "+strings.Repeat("a^", powers)+"a") == nil; got != want {
			t.Errorf("%d powers: valid %v, want %v", powers, got, want)
		}
	}
}
