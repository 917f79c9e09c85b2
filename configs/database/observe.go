package database

import "context"

// Observer is told of each statement that goes to a database, on the goroutine that sends it: its text, which holds no
// values. end is called when the answer is there.
type Observer func(ctx context.Context, statement string) (end func(error))

type observerKey struct{}

// Observe has what is asked with the context that it returns told to an observer.
func Observe(ctx context.Context, observer Observer) context.Context {
	return context.WithValue(ctx, observerKey{}, observer)
}

// observed begins a statement.
func observed(ctx context.Context, statement string) (end func(error)) {
	if observer, ok := ctx.Value(observerKey{}).(Observer); ok && observer != nil {
		return observer(ctx, statement)
	}
	return func(error) {}
}
