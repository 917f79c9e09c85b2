package router

import "testing"

func TestFindLiterals(t *testing.T) {
	tests := []struct {
		expr string
		want literals
	}{
		{`^/api/v\d+/users`, literals{"/api/v", "/users", ""}},
		{`^/api/v\d+/users$`, literals{"/api/v", "", "/users"}},
		{`^/api`, literals{"/api", "", ""}},
		{`^/api$`, literals{"/api", "", ""}},
		{`^(/api)(/[^/]+)/long/[^/]+(/x$)`, literals{"/api/", "/long/", "/x"}},
		{`^/foo|/bar$`, literals{}},
		{`^/foo?`, literals{"/fo", "", ""}},
		{`^(?i)/API$`, literals{}},
		{`^/a(?m)b$`, literals{"/ab", "", ""}},
		{`beta`, literals{"", "beta", ""}},
		{`beta\z`, literals{"", "", "beta"}},
		{`^/(?:a|b)/c`, literals{"/", "/c", ""}},
		{`^`, literals{}},
		{``, literals{}},
	}
	for _, test := range tests {
		p, err := compilePattern(test.expr)
		if err != nil {
			t.Fatal(err)
		}
		if p.literals != test.want {
			t.Errorf("%s: %+v, want %+v", test.expr, p.literals, test.want)
		}
	}
}
