package database_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/database"
	"sidekong/configs/entity"
)

// eachRead runs a test against every database with the seed in it, and against Memory.
func eachRead(t *testing.T, test func(t *testing.T, db database.DB)) {
	each(t, func(t *testing.T, b backend) { test(t, filled(t, b)) })
	t.Run("memory", func(t *testing.T) { test(t, database.NewMemory(seedDocument(t), schemas)) })
}

// want is an entity of the seed as it is read.
func want(t *testing.T, kind string, n int) entity.Object {
	for _, s := range seed(t) {
		if s.kind == kind && s.object["id"] == id(n) {
			if s.object["id"] == id(0x81) {
				s.object["snis"] = []any{"a.example", "b.example"}
			}
			return s.object
		}
	}
	t.Fatalf("the seed has no %s %x", kind, n)
	return nil
}

func TestGetAndFind(t *testing.T) {
	eachRead(t, func(t *testing.T, db database.DB) {
		for _, s := range seed(t) {
			got, err := db.Get(t.Context(), s.kind, s.object["id"].(string))
			if err != nil {
				t.Fatal(err)
			}
			if s.object["id"] == id(0x81) {
				s.object["snis"] = []any{"a.example", "b.example"}
			}
			if diff := cmp.Diff(s.object, got); diff != "" {
				t.Errorf("get %s (-want +got):\n%s", s.kind, diff)
			}
		}
		for _, tt := range []struct {
			kind, field, value string
			n                  int // 0: none
		}{
			{"services", "name", "third", 0x03},
			{"services", "id", "00000000-0000-4000-8000-000000000003", 0x03},
			{"services", "name", "Third", 0},
			{"services", "name", "", 0},
			{"services", "name", "\x00", 0},
			{"routes", "name", "r2", 0x12},
			{"consumers", "username", "bob", 0x22},
			{"consumers", "custom_id", "c-1", 0x21},
			{"consumers", "custom_id", "alice", 0},
			{"upstreams", "name", "up.example", 0x51},
			{"snis", "name", "a.example", 0x87},
			{"ca_certificates", "cert_digest", "d1", 0x90},
			{"keyauth_credentials", "key", "k-2", 0x32},
			{"basicauth_credentials", "username", "al", 0x41},
			{"plugins", "instance_name", "ot", 0x72},
		} {
			got, err := db.Find(t.Context(), tt.kind, tt.field, tt.value)
			if err != nil {
				t.Fatal(err)
			}
			var expected entity.Object
			if tt.n != 0 {
				expected = want(t, tt.kind, tt.n)
			}
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Errorf("find %s by %s %q (-want +got):\n%s", tt.kind, tt.field, tt.value, diff)
			}
		}
		if got, err := db.Get(t.Context(), "services", id(0xff)); got != nil || err != nil {
			t.Errorf("got %v, %v for an id that does not exist", got, err)
		}
		if _, err := db.Get(t.Context(), "tables; --", id(1)); err == nil {
			t.Error("no error for a kind that does not exist")
		}
	})
}

func TestReturnedObjectsAreTheCallers(t *testing.T) {
	eachRead(t, func(t *testing.T, db database.DB) {
		first, err := db.Get(t.Context(), "services", id(3))
		if err != nil {
			t.Fatal(err)
		}
		first["tags"].([]any)[0] = "changed"
		first["name"] = "changed"
		again, err := db.Get(t.Context(), "services", id(3))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want(t, "services", 3), again); diff != "" {
			t.Errorf("a caller's change is seen by others (-want +got):\n%s", diff)
		}
	})
}

func TestList(t *testing.T) {
	tests := []struct {
		name string
		kind string
		q    database.Query
		want []int
		next int // 0: none
	}{
		{"all, in the order of ids", "services", database.Query{}, []int{1, 2, 3}, 0},
		{"a page", "services", database.Query{Size: 2}, []int{1, 2}, 3},
		{"exactly the last", "services", database.Query{Size: 3}, []int{1, 2, 3}, 0},
		{"a reference", "routes", database.Query{Field: "service", ID: id(1)}, []int{0x11, 0x12}, 0},
		{"a page of a reference", "routes", database.Query{Field: "service", ID: id(1), Size: 1}, []int{0x11}, 0x12},
		{"a reference that nobody has", "routes", database.Query{Field: "service", ID: id(3)}, nil, 0},
		{"targets", "targets", database.Query{Field: "upstream", ID: id(0x51)}, []int{0x61, 0x62}, 0},
		{"plugins of a route", "plugins", database.Query{Field: "route", ID: id(0x11)}, []int{0x73}, 0},
		{"a tag", "services", database.Query{Tags: []string{"red"}}, []int{1, 3}, 0},
		{"a tag twice", "services", database.Query{Tags: []string{"red", "red"}}, []int{1, 3}, 0},
		{"a page of a tag", "services", database.Query{Tags: []string{"red"}, Size: 1}, []int{1}, 3},
		{"all tags", "services", database.Query{Tags: []string{"red", "blue"}}, []int{3}, 0},
		{"any tag", "services", database.Query{Tags: []string{"green", "blue", "red"}, AnyTag: true}, []int{1, 3}, 0},
		{"no such tag", "services", database.Query{Tags: []string{"' OR 1=1 --"}}, nil, 0},
		{"tag and reference", "routes", database.Query{Tags: []string{"blue"}, Field: "service", ID: id(1)}, []int{0x12}, 0},
		{"certificates have their names", "certificates", database.Query{}, []int{0x81, 0x82}, 0},
	}
	eachRead(t, func(t *testing.T, db database.DB) {
		for _, tt := range tests {
			got, next, err := db.List(t.Context(), tt.kind, tt.q)
			if err != nil {
				t.Fatal(err)
			}
			var expected []entity.Object
			for _, n := range tt.want {
				expected = append(expected, want(t, tt.kind, n))
			}
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
			if (next != "") != (tt.next != 0) {
				t.Errorf("%s: next is %q", tt.name, next)
			}
			if next == "" {
				continue
			}
			tt.q.Offset = next
			got, _, err = db.List(t.Context(), tt.kind, tt.q)
			if err != nil || len(got) == 0 || got[0]["id"] != id(tt.next) {
				t.Errorf("%s: the next page is %v, %v, want it to begin with %x", tt.name, got, err, tt.next)
			}
		}
		if _, _, err := db.List(t.Context(), "services", database.Query{Field: "route", ID: id(1)}); err == nil {
			t.Error("no error for a reference that services do not have")
		}
	})
}

func TestOffsets(t *testing.T) {
	eachRead(t, func(t *testing.T, db database.DB) {
		for offset, text := range map[string]string{
			"zzz!": "'zzz!' is not a valid offset: bad base64 encoding",
			"YWJj": "'YWJj' is not a valid offset: bad json encoding",
			"W10":  "'W10' is not a valid offset: bad json encoding",
		} {
			var refused *database.OffsetError
			_, _, err := db.List(t.Context(), "services", database.Query{Offset: offset})
			if !errors.As(err, &refused) || err.Error() != text {
				t.Errorf("list: got %v, want %s", err, text)
			}
			if _, _, err = db.Tagged(t.Context(), "", 0, offset); !errors.As(err, &refused) || err.Error() != text {
				t.Errorf("tags: got %v, want %s", err, text)
			}
		}
		// The offset that Kong gives for the same place.
		const third = "WyIwMDAwMDAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDMiXQ"
		_, next, err := db.List(t.Context(), "services", database.Query{Size: 2})
		if err != nil || next != third {
			t.Errorf("got offset %q, %v, want %q", next, err, third)
		}
	})
}

func TestTagged(t *testing.T) {
	all := []database.Tagged{
		{EntityName: "services", EntityID: id(1), Tag: "red"},
		{EntityName: "services", EntityID: id(3), Tag: "blue"},
		{EntityName: "services", EntityID: id(3), Tag: "red"},
		{EntityName: "services", EntityID: id(3), Tag: "é"},
		{EntityName: "routes", EntityID: id(0x12), Tag: "blue"},
		{EntityName: "consumers", EntityID: id(0x21), Tag: "red"},
		{EntityName: "keyauth_credentials", EntityID: id(0x32), Tag: "blue"},
		{EntityName: "certificates", EntityID: id(0x81), Tag: "red"},
	}
	eachRead(t, func(t *testing.T, db database.DB) {
		for _, size := range []int{1, 2, 3, 7, 8, 100} {
			for _, tag := range []string{"", "red", "blue", "é", "green"} {
				var expected, got []database.Tagged
				for _, item := range all {
					if tag == "" || tag == item.Tag {
						expected = append(expected, item)
					}
				}
				offset := ""
				for range len(all) + 1 {
					items, next, err := db.Tagged(t.Context(), tag, size, offset)
					if err != nil {
						t.Fatal(err)
					}
					if len(items) > size {
						t.Fatalf("%d items on a page of %d", len(items), size)
					}
					got = append(got, items...)
					if offset = next; offset == "" {
						break
					}
				}
				if diff := cmp.Diff(expected, got); diff != "" {
					t.Errorf("tag %q in pages of %d (-want +got):\n%s", tag, size, diff)
				}
			}
		}
	})
}

func TestDocument(t *testing.T) {
	eachRead(t, func(t *testing.T, db database.DB) {
		document, version, err := db.Document(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if version <= 0 {
			t.Errorf("version is %d", version)
		}
		got := map[string]map[any]entity.Object{}
		for kind := range document.Entities {
			got[kind] = map[any]entity.Object{}
			for _, object := range document.Objects(kind) {
				got[kind][object["id"]] = object
			}
		}
		expected := map[string]map[any]entity.Object{}
		for _, s := range seed(t) {
			if expected[s.kind] == nil {
				expected[s.kind] = map[any]entity.Object{}
			}
			expected[s.kind][s.object["id"]] = s.object
		}
		if diff := cmp.Diff(expected, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
