package main

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCopyMarked(t *testing.T) {
	for _, c := range []struct{ serial, want, err string }{
		{"SeaBIOS\r\n== begin\r\n| a | 1 |\r\n\r\n== end\r\nreboot: Power down\r\n", "| a | 1 |\n\n", ""},
		{"== begin\n| a | 1 |\n== failed: all: no route\n", "| a | 1 |\n", "all: no route"},
		{"Kernel panic - not syncing\n", "", "ended early: Kernel panic - not syncing"},
		{"== begin\n| a | 1 |\n", "| a | 1 |\n", "ended early"},
	} {
		var out strings.Builder
		err := copyMarked(&out, strings.NewReader(c.serial))
		if out.String() != c.want {
			t.Errorf("%q: copied %q, want %q", c.serial, out.String(), c.want)
		}
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: error %v, want %q", c.serial, err, c.err)
		}
	}
}

// TestArchive reads an archive by the offsets that Linux's documentation of the format gives.
func TestArchive(t *testing.T) {
	var packed bytes.Buffer
	a := &archive{to: &packed}
	for _, file := range [][2]string{{"a", ""}, {"folder/b", "content"}, {"abc", "1234"}, {"TRAILER!!!", ""}} {
		a.add(file[0], unix.S_IFREG|0o755, []byte(file[1]))
	}
	if a.err != nil {
		t.Fatal(a.err)
	}
	number := func(text []byte) (n int) {
		for _, digit := range text {
			n = n<<4 | strings.IndexByte("0123456789abcdef", digit)
		}
		return n
	}
	var got []string
	for rest := packed.Bytes(); len(rest) > 0; {
		if magic := string(rest[:6]); magic != "070701" {
			t.Fatalf("magic %q behind %q", magic, got)
		}
		if mode := number(rest[14:22]); mode != unix.S_IFREG|0o755 {
			t.Errorf("mode %o", mode)
		}
		size, name := number(rest[54:62]), number(rest[94:102])
		content := (110 + name + 3) / 4 * 4
		got = append(got, string(rest[110:110+name-1])+"="+string(rest[content:content+size]))
		rest = rest[(content+size+3)/4*4:]
	}
	if all := strings.Join(got, " "); all != "a= folder/b=content abc=1234 TRAILER!!!=" {
		t.Errorf("read back %s", all)
	}
}
