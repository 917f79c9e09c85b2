//go:build !race

package opentelemetry_test

// poolLosses is none: sync.Pool forgets nothing between two collections.
const poolLosses = 0
