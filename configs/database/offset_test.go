package database

import (
	"errors"
	"slices"
	"testing"
)

func FuzzDecodeOffset(f *testing.F) {
	for _, offset := range []string{"", "zzz!", "YWJj", "W10", "WyIwMCJd", encodeOffset("a", "b", "c"), "bnVsbA"} {
		f.Add(offset, 1)
		f.Add(offset, 3)
	}
	f.Fuzz(func(t *testing.T, offset string, parts int) {
		if parts < 0 || parts > 10 {
			return
		}
		key, err := decodeOffset(offset, parts)
		var refused *OffsetError
		if err != nil {
			if !errors.As(err, &refused) || refused.Offset != offset {
				t.Fatalf("got %v", err)
			}
			return
		}
		if len(key) != parts {
			t.Fatalf("%d parts, want %d", len(key), parts)
		}
		again, err := decodeOffset(encodeOffset(key...), parts)
		if err != nil || !slices.Equal(again, key) {
			t.Fatalf("%q becomes %q, %v", key, again, err)
		}
	})
}
