package database_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/database"
	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

func unreachable(err error) bool { return errors.Is(err, database.ErrUnreachable) }

// asked counts the statements that a context's questions lead to.
func asked(ctx context.Context, statements *[]string) context.Context {
	var mu sync.Mutex
	return database.Observe(ctx, func(_ context.Context, statement string) func(error) {
		mu.Lock()
		defer mu.Unlock()
		*statements = append(*statements, statement)
		return func(error) {}
	})
}

func TestCredentials(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := filled(t, b)
		c := database.NewCredentials(db, database.CredentialsOptions{})
		for round := range 3 {
			var statements []string
			ctx := asked(t.Context(), &statements)
			key, err := c.KeyAuth(ctx, "k-1")
			if err != nil || key == nil || key.ID != id(0x31) || key.Consumer.ID != id(0x21) || key.Key != "k-1" {
				t.Fatalf("got %v, %v", key, err)
			}
			basic, err := c.BasicAuth(ctx, "al")
			if err != nil || basic == nil || basic.ID != id(0x41) {
				t.Fatalf("got %v, %v", basic, err)
			}
			alice, err := c.Consumer(ctx, key.Consumer.ID)
			if err != nil || alice == nil || alice.Username != "alice" {
				t.Fatalf("got %v, %v", alice, err)
			}
			bob, err := c.ConsumerNamed(ctx, "bob")
			if err != nil || bob == nil || bob.ID != id(0x22) {
				t.Fatalf("got %v, %v", bob, err)
			}
			for range 2 {
				if nobody, err := c.KeyAuth(ctx, "k-3"); nobody != nil || err != nil {
					t.Fatalf("got %v, %v", nobody, err)
				}
			}
			if expected := map[bool]int{true: 5, false: 0}[round == 0]; len(statements) != expected {
				t.Errorf("round %d: %d statements, want %d", round, len(statements), expected)
			}
			for _, statement := range statements {
				if strings.Contains(statement, "k-1") || strings.Contains(statement, "al'") || strings.Contains(statement, "\n") || !strings.HasPrefix(statement, "SELECT") {
					t.Errorf("statement %q", statement)
				}
			}
		}
		if err := db.Insert(t.Context(), "keyauth_credentials", object(t, "keyauth_credentials", 0xff, entity.Object{"key": "k-3", "consumer": ref(0x22)})); err != nil {
			t.Fatal(err)
		}
		c.Invalidate()
		if made, err := c.KeyAuth(t.Context(), "k-3"); made == nil || err != nil {
			t.Errorf("after a change: got %v, %v", made, err)
		}
	})
}

// slow is a DB whose answers wait until they are let go.
type slow struct {
	database.DB
	asked  atomic.Int64
	answer chan entity.Object
	err    atomic.Pointer[error]
}

func (s *slow) Find(ctx context.Context, _, _, _ string) (entity.Object, error) {
	s.asked.Add(1)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case object := <-s.answer:
		if err := s.err.Load(); err != nil {
			return nil, *err
		}
		return object, nil
	}
}

func key(n int) entity.Object {
	return entity.Object{"id": id(n), "key": "k", "consumer": ref(1), "created_at": float64(1)}
}

func TestCredentialsAskOnce(t *testing.T) {
	db := &slow{answer: make(chan entity.Object)}
	c := database.NewCredentials(db, database.CredentialsOptions{})
	const waiting = 20
	var requests sync.WaitGroup
	for range waiting {
		requests.Go(func() {
			if got, err := c.KeyAuth(t.Context(), "k"); err != nil || got == nil || got.ID != id(1) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	db.answer <- key(1)
	requests.Wait()
	if n := db.asked.Load(); n != 1 {
		t.Errorf("%d questions for one key", n)
	}
}

// A request that ends while others wait for its answer does not take them with it.
func TestCredentialsOutliveARequest(t *testing.T) {
	db := &slow{answer: make(chan entity.Object)}
	c := database.NewCredentials(db, database.CredentialsOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	var requests sync.WaitGroup
	requests.Go(func() {
		if _, err := c.KeyAuth(ctx, "k"); !errors.Is(err, context.Canceled) {
			t.Errorf("the first got %v", err)
		}
	})
	eventually(t, "the first question", func() bool { return db.asked.Load() == 1 })
	requests.Go(func() {
		if got, err := c.KeyAuth(t.Context(), "k"); err != nil || got == nil {
			t.Errorf("the second got %v, %v", got, err)
		}
	})
	cancel()
	db.answer <- key(1)
	requests.Wait()
}

// An answer that was on its way when something changed may be the old one: it is not remembered.
func TestCredentialsForgetWhatIsOnItsWay(t *testing.T) {
	db := &slow{answer: make(chan entity.Object)}
	c := database.NewCredentials(db, database.CredentialsOptions{})
	var requests sync.WaitGroup
	requests.Go(func() { c.KeyAuth(t.Context(), "k") })
	eventually(t, "the question", func() bool { return db.asked.Load() == 1 })
	c.Invalidate()
	db.answer <- key(1)
	requests.Wait()
	requests.Go(func() { db.answer <- key(2) })
	if got, err := c.KeyAuth(t.Context(), "k"); err != nil || got == nil || got.ID != id(2) {
		t.Errorf("got %v, %v", got, err)
	}
	requests.Wait()
}

func TestCredentialsDoNotRememberErrors(t *testing.T) {
	db := &slow{answer: make(chan entity.Object, 1)}
	c := database.NewCredentials(db, database.CredentialsOptions{})
	away := fmt.Errorf("read keys: %w", database.ErrUnreachable)
	db.err.Store(&away)
	db.answer <- nil
	if _, err := c.KeyAuth(t.Context(), "k"); !unreachable(err) {
		t.Errorf("got %v", err)
	}
	db.err.Store(nil)
	db.answer <- key(1)
	if got, err := c.KeyAuth(t.Context(), "k"); err != nil || got == nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestCredentialsAreBounded(t *testing.T) {
	const entries = 100
	db := filled(t, backends[0])
	c := database.NewCredentials(db, database.CredentialsOptions{Entries: entries})
	var statements []string
	ctx := asked(t.Context(), &statements)
	if _, err := c.KeyAuth(ctx, "k-1"); err != nil {
		t.Fatal(err)
	}
	for n := range 5 * entries {
		if _, err := c.KeyAuth(ctx, fmt.Sprint("guessed ", n)); err != nil {
			t.Fatal(err)
		}
	}
	before := len(statements)
	if _, err := c.KeyAuth(ctx, "k-1"); err != nil || len(statements) != before {
		t.Errorf("guessed keys have pushed out one that exists: %v", err)
	}
	if _, err := c.KeyAuth(ctx, "guessed 0"); err != nil || len(statements) != before+1 {
		t.Errorf("what was guessed first is still remembered: %v", err)
	}
	if _, err := c.KeyAuth(ctx, fmt.Sprint("guessed ", 5*entries-1)); err != nil || len(statements) != before+1 {
		t.Errorf("what was guessed last is forgotten: %v", err)
	}
}

func TestCredentialsExpire(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := filled(t, b)
		short := object(t, "keyauth_credentials", 0xff, entity.Object{"key": "short", "consumer": ref(0x21), "ttl": float64(1)})
		if err := db.Insert(t.Context(), "keyauth_credentials", short); err != nil {
			t.Fatal(err)
		}
		c := database.NewCredentials(db, database.CredentialsOptions{})
		began := time.Now()
		if got, err := c.KeyAuth(t.Context(), "short"); got == nil && time.Since(began) < time.Second/2 || err != nil {
			t.Fatalf("got %v, %v", got, err)
		}
		eventually(t, "the credential to be gone", func() bool {
			got, err := c.KeyAuth(t.Context(), "short")
			return got == nil && err == nil
		})
		var statements []string
		if got, err := c.KeyAuth(asked(t.Context(), &statements), "short"); got != nil || err != nil || len(statements) != 0 {
			t.Errorf("that it is gone is not remembered: %v, %v, %v", got, err, statements)
		}
	})
}

func TestCredentialsTTL(t *testing.T) {
	db := filled(t, backends[0])
	c := database.NewCredentials(db, database.CredentialsOptions{TTL: time.Millisecond})
	if _, err := c.KeyAuth(t.Context(), "k-1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the answer to be asked for again", func() bool {
		var statements []string
		_, err := c.KeyAuth(asked(t.Context(), &statements), "k-1")
		return err == nil && len(statements) > 0
	})
}

// Observers see each statement, and its error.
func TestObserve(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := filled(t, b)
		var begun []string
		var ended []error
		ctx, cancel := context.WithCancel(t.Context())
		ctx = database.Observe(ctx, func(_ context.Context, statement string) func(error) {
			begun = append(begun, statement)
			return func(err error) { ended = append(ended, err) }
		})
		if _, err := db.Find(ctx, "consumers", "username", "alice"); err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := db.Find(ctx, "consumers", "username", "alice"); err == nil {
			t.Fatal("no error")
		}
		if len(begun) != 2 || len(ended) != 2 || ended[0] != nil || ended[1] == nil {
			t.Errorf("got %q, %v", begun, ended)
		}
		if diff := cmp.Diff(map[string]string{"sqlite": "sqlite", "postgres": "postgresql"}[b.name], db.System()); diff != "" {
			t.Error(diff)
		}
	})
}

// A change that concerns others costs nobody an answer; what is no longer so is forgotten.
func TestCredentialsRefresh(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := filled(t, b)
		c := database.NewCredentials(db, database.CredentialsOptions{})
		ctx := t.Context()
		ask := func(ctx context.Context) (key *entity.KeyAuthCredential, bob *entity.Consumer, nobody *entity.KeyAuthCredential) {
			t.Helper()
			key, err1 := c.KeyAuth(ctx, "k-1")
			bob, err2 := c.ConsumerNamed(ctx, "bob")
			nobody, err3 := c.KeyAuth(ctx, "k-3")
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatal(err)
			}
			return key, bob, nobody
		}
		refresh := func() {
			t.Helper()
			document, _, err := db.Document(ctx)
			if err != nil {
				t.Fatal(err)
			}
			c.Refresh(document)
		}
		key, bob, _ := ask(ctx)
		if err := db.Insert(ctx, "consumers", consumer(t, 0xfe)); err != nil {
			t.Fatal(err)
		}
		refresh()
		var statements []string
		key2, bob2, nobody := ask(asked(ctx, &statements))
		if diff := cmp.Diff([]any{key, bob}, []any{key2, bob2}); diff != "" || nobody != nil || len(statements) != 0 {
			t.Errorf("after a change that concerns others: %d statements, %v, (-want +got):\n%s", len(statements), nobody, diff)
		}

		if _, err := db.Delete(ctx, "keyauth_credentials", id(0x31)); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Update(ctx, "consumers", id(0x22), func(old entity.Object) (entity.Object, error) {
			old["custom_id"] = "new"
			return old, nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := db.Insert(ctx, "keyauth_credentials", object(t, "keyauth_credentials", 0xff, entity.Object{"key": "k-3", "consumer": ref(0x22)})); err != nil {
			t.Fatal(err)
		}
		refresh()
		key, bob, nobody = ask(ctx)
		if key != nil || bob.CustomID != "new" || nobody == nil {
			t.Errorf("after a change: got %v, %v, %v", key, bob, nobody)
		}
	})
}

// What is left of a key's time is no time from its creation.
func TestCredentialsWithAnEnd(t *testing.T) {
	db := &slow{answer: make(chan entity.Object, 1)}
	c := database.NewCredentials(db, database.CredentialsOptions{})
	old := key(1)
	old["created_at"], old["ttl"] = float64(time.Now().Add(-time.Hour).Unix()), float64(600)
	db.answer <- old
	got, err := c.KeyAuth(t.Context(), "k")
	if err != nil || got == nil || got.TTL != nil {
		t.Fatalf("got %+v, %v", got, err)
	}
	c.Refresh(&declarative.Document{Entities: map[string][]declarative.Entity{"keyauth_credentials": {{Object: key(1)}}}})
	if got, err := c.KeyAuth(t.Context(), "k"); err != nil || got == nil || db.asked.Load() != 1 {
		t.Errorf("got %+v, %v after %d questions", got, err, db.asked.Load())
	}
}
