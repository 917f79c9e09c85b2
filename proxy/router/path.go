package router

import (
	"fmt"
	"strings"
)

// pathPattern is one of a route's paths.
type pathPattern struct {
	configured string
	regex      *pattern // nil for a plain prefix
}

func (p *pathPattern) match(path string) bool {
	if p.regex != nil {
		return p.regex.match(path)
	}
	return strings.HasPrefix(path, p.configured)
}

func isRegex(path string) bool { return strings.HasPrefix(path, "~") }

// groupPaths puts all regular expressions together, and plain paths of one length, in the order in which each kind
// appears first. No paths make one empty group.
func groupPaths(paths []string) [][]string {
	if len(paths) == 0 {
		return [][]string{nil}
	}
	var groups [][]string
	byKind := make(map[int]int) // length, or -1 for regular expressions → index in groups
	for _, path := range paths {
		kind := len(path)
		if isRegex(path) {
			kind = -1
		}
		i, ok := byKind[kind]
		if !ok {
			i = len(groups)
			byKind[kind] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], path)
	}
	return groups
}

func newPathPatterns(paths []string) ([]pathPattern, error) {
	patterns := make([]pathPattern, len(paths))
	for i, path := range paths {
		patterns[i].configured = path
		if !isRegex(path) {
			continue
		}
		regex, err := compilePathPattern(path)
		if err != nil {
			return nil, fmt.Errorf("paths: %q: %w", path, err)
		}
		patterns[i].regex = regex
	}
	return patterns, nil
}
