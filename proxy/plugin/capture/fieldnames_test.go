package capture

import (
	"fmt"
	"strings"
	"testing"

	"sidekong/proxy/plugin/capture/scan"
)

// TestFieldNames: a field's name is known again where it was learned, and no other is taken for it.
func TestFieldNames(t *testing.T) {
	n, err := newNames(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	// read reads the name of a field, expecting a certain one.
	read := func(text []byte, colon int, expected *fieldName) *fieldName {
		n.start.next.Store(placeOf([]byte(expected.text)))
		var p page
		blocks, _ := p.turn(text, 0)
		for i := range blocks {
			blocks[i].Colons = 0
		}
		blocks[colon/scan.Size].Colons = 1 << (colon % scan.Size)
		v := view{in: text, field: &n.start}
		n.read(&v, &p, 0, len(blocks))
		if v.url != (text[colon+1] == '/') {
			t.Errorf("%s: URL %v", text, v.url)
		}
		return v.field
	}
	in := func(name string, distance int) (text []byte, colon int) {
		head := strings.Repeat(" ", distance) + `{"` + name + `"`
		return []byte(head + `:1}` + strings.Repeat(" ", scan.Size-distance)), len(head)
	}
	for length := 1; length < 40; length++ {
		for distance := range scan.Size {
			name := strings.Repeat("n", length)
			text, colon := in(name, distance)
			n.fields[placeOf(text[colon-length-2:colon])].Store(noField)
			known := n.look(text[:colon], &n.start)
			if known == nil || known.text != `"`+name+`"` {
				t.Fatalf("%s is not learned", name)
			}
			if read(text, colon, known) != known {
				t.Errorf("%s is not known again", name)
			}
			for at := colon - len(name) - 2; at < colon; at++ {
				changed := string(text[:at]) + "\x00" + string(text[at+1:])
				if read([]byte(changed), colon, known) == known {
					t.Errorf("%s is taken for %s", changed, name)
				}
			}
			for _, other := range []string{"n" + name, name[1:], name + "n"} {
				if text, colon := in(other, distance); read(text, colon, known) == known {
					t.Errorf("%s is taken for %s", other, name)
				}
			}
			text[colon+1] = '/'
			read(text, colon, known)
		}
	}
	for _, name := range []string{"token", "my_password", "%74oken", strings.Repeat("n", maxName+1)} {
		if text, colon := in(name, 0); n.look(text[:colon], &n.start) != nil {
			t.Errorf("%.20s means no secret", name)
		}
	}
}

// TestFieldOrder: of fields that come in an order each is expected behind the one before.
func TestFieldOrder(t *testing.T) {
	m := masker(&marks{}, false)
	m.paths = nil
	text := `{"first_field":1,"second_field":[{"third":"x"}],"a_fourth_field_with_a_name":true}`
	for range 2 {
		if !clean(m, []byte(text), formatJSON) {
			t.Fatal("not clean")
		}
	}
	last := &m.names.start
	for i, name := range []string{"first_field", "second_field", "third", "a_fourth_field_with_a_name"} {
		next := m.names.fields[last.next.Load()].Load()
		if next.text != `"`+name+`"` {
			t.Fatalf("behind field %d: %+v, want %s", i, next, name)
		}
		last = next
	}
}

// TestManyFields: however many names there are, clean is what it was, and what is known stays bounded.
func TestManyFields(t *testing.T) {
	m := masker(&marks{}, false)
	m.paths = nil
	for i := range 50 {
		var text strings.Builder
		text.WriteString("{")
		for j := range 1000 {
			fmt.Fprintf(&text, `"field_%d":%d,`, i*300+j, j)
		}
		if !clean(m, []byte(text.String()+`"end":0}`), formatJSON) {
			t.Fatal("not clean")
		}
		if clean(m, []byte(text.String()+`"pin":0}`), formatJSON) {
			t.Fatal("clean with a secret")
		}
	}
}
