package declarative_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/declarative"
)

var variables = map[string]string{
	"DECK_PORT":   "8080",
	"DECK_HOST":   "from-env.test",
	"DECK_WORD":   "word",
	"DECK_BOOL":   "1",
	"DECK_FLOAT":  "0.50",
	"DECK_TRICKY": "a: \"b\"\n# c",
	"DECK_EMPTY":  "",
	"DECK_SECRET": "do-not-show-this",
	"HOME":        "/root",
}

func lookup(name string) (string, bool) {
	value, ok := variables[name]
	return value, ok
}

func parse(inputs ...declarative.Input) (*declarative.Document, []declarative.Warning, error) {
	return declarative.Parse(inputs, declarative.Options{Schemas: schemas(), LookupEnv: lookup})
}

// Each testdata/NAME.bad.yml or .json has every fault of it beside it, in NAME.bad.EXT.txt.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.*")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range files {
		if strings.HasSuffix(file, ".txt") {
			continue
		}
		seen++
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			document, _, err := parse(declarative.Input{Name: filepath.Base(file), Data: data})
			var faults declarative.Faults
			if !errors.As(err, &faults) || document != nil {
				t.Fatalf("Parse = %v, %v; want Faults", document, err)
			}
			if strings.Contains(err.Error(), variables["DECK_SECRET"]) {
				t.Errorf("the faults show a value from the environment:\n%v", err)
			}
			got := err.Error() + "\n"
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(file+".txt", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
	if seen < 10 {
		t.Errorf("%d files with faults, want more than that", seen)
	}
}
