package declarative

import (
	"fmt"
	"strings"
)

// choice tells which of the allowed names was probably meant, or all of them.
func choice(name string, allowed []string) string {
	if near, ok := nearest(name, allowed); ok {
		return fmt.Sprintf("did you mean %s?", near)
	}
	const most = 40
	if len(allowed) > most {
		return fmt.Sprintf("allowed: %s, … (%d more)", strings.Join(allowed[:most], ", "), len(allowed)-most)
	}
	return "allowed: " + strings.Join(allowed, ", ")
}

// nearest is the only name that begins so, or else the one that takes the fewest edits, if a third of its letters or
// fewer.
func nearest(name string, allowed []string) (string, bool) {
	best, bestCost := "", len(name)/3+1
	if len(name) > 64 {
		return "", false
	}
	begins := 0
	for _, candidate := range allowed {
		if len(name) >= 3 && strings.HasPrefix(candidate, name) {
			best = candidate
			begins++
		}
	}
	if begins == 1 {
		return best, true
	}
	best = ""
	for _, candidate := range allowed {
		if d := len(candidate) - len(name); d >= bestCost || -d >= bestCost {
			continue
		}
		if cost := edits(strings.ToLower(name), strings.ToLower(candidate)); cost < bestCost {
			best, bestCost = candidate, cost
		}
	}
	return best, best != ""
}

// edits is the Levenshtein distance, with the swap of two neighbours as one edit.
func edits(a, b string) int {
	before, previous := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current := make([]int, len(b)+1)
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous = previous, current
	}
	return previous[len(b)]
}
