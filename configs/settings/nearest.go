package settings

// nearest gives the known name that a mistyped one most resembles, or "" when none is near: more than a quarter of the
// letters, or more than three, differ.
func nearest(name string) string {
	if len(name) > 80 {
		return ""
	}
	best, bound := "", min(3, len(name)/4)+1
	try := func(candidate string) {
		if max(len(name)-len(candidate), len(candidate)-len(name)) > bound {
			return // as many bytes differ at least
		}
		if d := distance(name, candidate); d < bound || d == bound && best != "" && candidate < best {
			best, bound = candidate, d
		}
	}
	for candidate := range honoured {
		try(candidate)
	}
	for candidate := range reasons {
		try(candidate)
	}
	return best
}

// distance counts the bytes to insert, delete, replace or swap with their neighbour to make a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
