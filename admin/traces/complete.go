package traces

import (
	"cmp"
	"maps"
	"slices"
)

// Limits of what is offered for completing a filter.
const (
	completeTraces = 300
	completeNames  = 200
	completeValues = 20
	completeLength = 64 // bytes of a value; longer ones are not for typing
)

// Completions gives the names of attributes in the newest traces, the most frequent first, and values of those that
// have few. Values of captured messages are not among them.
func (s *Store) Completions() (names []string, values map[string][]string) {
	counts := map[string]int{}
	found := map[string]map[string]int{}
	s.newestFirst(completeTraces, func(t *stored) {
		t.attributes(s.resource, func(key, value []byte) bool {
			if counts[string(key)]++; counts[string(key)] == 1 && len(counts) > 4*completeNames {
				delete(counts, string(key))
				return true
			}
			text, ok := appendScalar(nil, value)
			if !ok || len(text) > completeLength {
				return true
			}
			of := found[string(key)]
			if of == nil {
				of = map[string]int{}
				found[string(key)] = of
			}
			if _, known := of[string(text)]; known || len(of) <= completeValues {
				of[string(text)]++
			}
			return true
		})
	})
	names = slices.AppendSeq([]string{}, maps.Keys(counts))
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b)) })
	names = names[:min(len(names), completeNames)]
	values = map[string][]string{}
	for _, name := range names {
		if of := found[name]; len(of) > 0 && len(of) <= completeValues {
			values[name] = slices.SortedFunc(maps.Keys(of), func(a, b string) int { return cmp.Or(of[b]-of[a], cmp.Compare(a, b)) })
		}
	}
	return names, values
}
