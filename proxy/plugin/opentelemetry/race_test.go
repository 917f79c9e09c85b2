//go:build race

package opentelemetry_test

// poolLosses is how many allocations a request may have because sync.Pool forgets things at random under the race
// detector.
const poolLosses = 8
