package database_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"sidekong/configs/database"
	"sidekong/configs/entity"
)

// writeUntilKilled is the child of TestKilledWhileWriting: it writes as fast as it can, and says what was acknowledged.
func writeUntilKilled(kind, argument string) {
	db, err := childOpen[kind](argument)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for n := 1; ; n++ {
		service := entity.Object{"id": id(n), "name": fmt.Sprintf("s%d", n), "host": "x", "tags": []any{"tag"}}
		if err := db.Insert(context.Background(), "services", service); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(n)
	}
}

func TestKilledWhileWriting(t *testing.T) {
	const rounds, least = 3, 20
	each(t, func(t *testing.T, b backend) {
		for range rounds {
			argument, open := b.child(t)
			child := exec.Command(os.Args[0], "write-until-killed", b.name, argument)
			child.Stderr = os.Stderr
			output, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			acknowledged := 0
			lines := bufio.NewScanner(output)
			for lines.Scan() {
				n, err := strconv.Atoi(lines.Text())
				if err != nil {
					break // a line that was cut off
				}
				if acknowledged = n; acknowledged == least {
					child.Process.Kill()
				}
			}
			child.Wait()
			if acknowledged < least {
				t.Fatalf("the child ended by itself after %d writes", acknowledged)
			}
			db := open(t)
			for n := 1; n <= acknowledged; n++ {
				if got, err := db.Get(t.Context(), "services", id(n)); err != nil || got == nil {
					t.Fatalf("of %d acknowledged writes the %dth is lost: %v, %v", acknowledged, n, got, err)
				}
			}
			all, _, err := db.List(t.Context(), "services", database.Query{Size: 1_000_000, Tags: []string{"tag"}})
			if err != nil || len(all) < acknowledged || len(all) > acknowledged+1 {
				t.Errorf("%d entities after %d acknowledged writes, %v", len(all), acknowledged, err)
			}
			// It can be written, and what it is found by is whole.
			next := object(t, "services", len(all)+1, entity.Object{"name": "after", "host": "x"})
			if err := db.Insert(t.Context(), "services", next); err != nil {
				t.Error(err)
			}
		}
	})
}
