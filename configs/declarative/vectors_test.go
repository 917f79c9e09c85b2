package declarative_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// Each line of testdata/config_validation.jsonl is a configuration and what Kong's traditional_compatible router says
// to it.
func TestConfigValidation(t *testing.T) {
	data, err := os.ReadFile("testdata/config_validation.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	tested := 0
	for line := range bytes.Lines(data) {
		var vector struct {
			ID     string          `json:"id"`
			Routes []entity.Object `json:"routes"`
			Expect struct {
				Rejected bool `json:"config_rejected"`
			} `json:"expect_compat"`
			KongSays *string `json:"kong_says"`
		}
		if err := json.Unmarshal(line, &vector); err != nil {
			t.Fatal(err)
		}
		tested++
		t.Run(vector.ID, func(t *testing.T) {
			var services []any
			for _, route := range vector.Routes {
				service := route["service"].(entity.Object)
				delete(route, "service")
				service["routes"] = []any{route}
				services = append(services, service)
			}
			config, err := json.Marshal(entity.Object{"_format_version": "3.0", "services": services})
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = parse(declarative.Input{Name: "kong.json", Data: config})
			var faults declarative.Faults
			if errors.As(err, &faults) != vector.Expect.Rejected {
				t.Fatalf("Parse = %v; Kong refuses: %v", err, vector.Expect.Rejected)
			}
			if !vector.Expect.Rejected {
				return
			}
			if len(faults) != 1 {
				t.Errorf("%d faults, want one:\n%v", len(faults), err)
			}
			parts := strings.Split(*vector.KongSays, ": ")
			field, text := parts[0], parts[len(parts)-1]
			switch field {
			case "@entity":
				field = "routes[0]"
			case "service":
				field = parts[1]
			}
			if !strings.Contains(faults[0].Field, field) {
				t.Errorf("the fault is at %s, Kong's at %s", faults[0].Field, field)
			}
			if fromLibrary := strings.Contains(*vector.KongSays, "PCRE"); !fromLibrary && !strings.Contains(faults[0].Message, text) {
				t.Errorf("the fault is %q, Kong says %q", faults[0].Message, *vector.KongSays)
			}
		})
	}
	if tested != 20 {
		t.Errorf("%d vectors, want 20", tested)
	}
}
