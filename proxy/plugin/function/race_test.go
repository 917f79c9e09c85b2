//go:build race

package function

// raceFactor is by how much the race detector slows down what lies between two looks at the clock.
const raceFactor = 5
