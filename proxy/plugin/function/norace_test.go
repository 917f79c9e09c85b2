//go:build !race

package function

// raceFactor is 1 without the race detector.
const raceFactor = 1
