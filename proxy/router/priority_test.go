package router

import (
	"fmt"
	"testing"

	"sidekong/configs/entity"
)

func TestPriority(t *testing.T) {
	headers := func(n int) map[string][]string {
		h := make(map[string][]string)
		for i := range n {
			h[fmt.Sprintf("x-%d", i)] = []string{"1"}
		}
		return h
	}
	get := []string{"GET"}
	tests := []struct {
		name  string
		route entity.Route
		paths []string
		want  uint64
	}{
		{"one plain path", entity.Route{}, []string{"/abc"}, 1<<29 | 4},
		{"long path keeps 19 bits", entity.Route{}, []string{string(make([]byte, 1<<19+3))}, 1<<29 | 3},
		{"plain host", entity.Route{Hosts: []string{"a"}}, nil, 1<<60 | 1<<29},
		{"wildcard host", entity.Route{Hosts: []string{"a", "*.b"}}, nil, 1 << 29},
		{"empty hosts count as plain", entity.Route{Hosts: []string{}}, []string{"/a"}, 1<<60 | 1<<29 | 2},
		{"regular expression", entity.Route{}, []string{"~/abc"}, 1<<51 | 1<<29},
		{"regex_priority is the bit of one header", entity.Route{RegexPriority: 2}, []string{"~/a"}, 1<<51 | 1<<29 | 1<<20},
		{"regex_priority is the bit of the weight", entity.Route{RegexPriority: 1024}, []string{"~/a"}, 1<<51 | 1<<29},
		{"regex_priority vanishes", entity.Route{RegexPriority: 8192}, []string{"~/a"}, 1<<51 | 1<<29},
		{"negative regex_priority", entity.Route{RegexPriority: -1}, []string{"~/a"}, 1<<63 | 1<<51 | 1<<29},
		{"sign bit from regex_priority", entity.Route{RegexPriority: 4096}, []string{"~/a"}, 1<<63 | 1<<51 | 1<<29},
		{"regex_priority of plain paths is nothing", entity.Route{RegexPriority: 5}, []string{"/a"}, 1<<29 | 2},
		{"headers", entity.Route{Headers: headers(3)}, nil, 1<<29 | 3<<20},
		{"headers capped", entity.Route{Headers: headers(300)}, nil, 1<<29 | 255<<20},
		{"three attributes", entity.Route{Methods: get, Headers: headers(1)}, []string{"/a"}, 3<<29 | 1<<20 | 2},
		{
			"four attributes lose all other bits",
			entity.Route{Methods: get, Headers: headers(1), SNIs: []string{"s"}},
			[]string{"/a"},
			1 << 63,
		},
		{
			"four attributes with a regular expression",
			entity.Route{Methods: get, Headers: headers(1), SNIs: []string{"s"}},
			[]string{"~/a"},
			1<<63 | 1<<51 | 1<<20,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := priority(&test.route, test.paths); got != test.want {
				t.Errorf("priority = %#x, want %#x", got, test.want)
			}
		})
	}
}
