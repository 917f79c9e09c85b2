package configs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// FuzzKongAdmin reads the same page as every list. What is taken of it is a configuration that Parse takes, but for
// names that are used twice.
func FuzzKongAdmin(f *testing.F) {
	for _, kind := range adaptedKinds {
		text, err := os.ReadFile(filepath.Join("testdata", "kongadmin", kind+".json"))
		if err != nil {
			f.Fatal(err)
		}
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			f.Fatal(err)
		}
		for _, object := range list {
			f.Add([]byte(`{"data":[` + string(object) + `],"next":null}`))
		}
	}
	f.Add([]byte(`{"data":{},"offset":null}`))
	f.Add([]byte(`{"data":[{"id":"00000000-0000-4000-8000-000000000001","host":"a","name":"${{ env \"X\" }}","paths":[null]}]}`))
	text := &entity.Field{Type: entity.String}
	schemas := entity.NewSchemas(map[string]*entity.Record{
		"opentelemetry": {Fields: []entity.Field{{Name: "headers", Type: entity.Map, Keys: text, Values: text}}},
	})
	f.Fuzz(func(t *testing.T, body []byte) {
		page, err := parsePage(body)
		if err != nil {
			return
		}
		picture := map[string][]entity.Object{}
		for _, kind := range adaptedKinds {
			picture[kind] = page.objects
		}
		adapted, err := adapt(picture, schemas).marshal()
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = declarative.Parse([]declarative.Input{{Name: "kong", Data: adapted}}, declarative.Options{Schemas: schemas})
		if err == nil {
			return
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.Contains(line, "uniqueness violation") && !strings.Contains(line, "for the same scope") {
				t.Errorf("%s\nin %s", line, adapted)
			}
		}
	})
}
