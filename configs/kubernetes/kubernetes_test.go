package kubernetes_test

import (
	"context"
	"os"
	"testing"

	"go.yaml.in/yaml/v3"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/configs/settings"
	"sidekong/proxy/plugin/opentelemetry"
)

func TestBaseConfiguration(t *testing.T) {
	schemas := entity.NewSchemas(map[string]*entity.Record{"opentelemetry": opentelemetry.Config()})
	snapshot, warnings, err := configs.Loader{Schemas: schemas}.Load(context.Background(), configs.Files("base/kong.yaml"))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load: %v, %v", warnings, err)
	}
	if len(snapshot.ActiveRoutes) != 1 || len(snapshot.ActivePlugins) != 1 {
		t.Errorf("%d routes, %d plugins, want one of each", len(snapshot.ActiveRoutes), len(snapshot.ActivePlugins))
	}
}

// The variables that the Deployment sets are settings, and mean what its ports and mounts say.
func TestBaseSettings(t *testing.T) {
	data, err := os.ReadFile("base/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var deployment struct {
		Spec struct {
			Template struct {
				Spec struct {
					InitContainers []struct {
						Env          []struct{ Name, Value string }
						VolumeMounts []struct {
							MountPath string `yaml:"mountPath"`
						} `yaml:"volumeMounts"`
					} `yaml:"initContainers"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(data, &deployment); err != nil {
		t.Fatal(err)
	}
	container := deployment.Spec.Template.Spec.InitContainers[0]
	environ := []string{"KONG_PREFIX=/usr/local/kong"} // the image sets it
	for _, v := range container.Env {
		environ = append(environ, v.Name+"="+v.Value)
	}
	s, warnings, err := settings.Parse(settings.Source{Environ: environ})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Parse: %v, %v", warnings, err)
	}
	if len(s.DeclarativeConfig) != 1 || s.DeclarativeConfig[0] != container.VolumeMounts[0].MountPath || s.Prefix != container.VolumeMounts[1].MountPath {
		t.Errorf("configuration from %v and prefix %s, mounts %v", s.DeclarativeConfig, s.Prefix, container.VolumeMounts)
	}
	if len(s.ProxyListen) != 1 || len(s.StatusListen) != 1 || s.Database != "off" {
		t.Errorf("listens on %v and %v, database %s", s.ProxyListen, s.StatusListen, s.Database)
	}
}
