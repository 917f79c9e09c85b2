// Package kubernetes renders what configs/kubernetes holds, with kustomize and Helm themselves, and holds every object
// against Kubernetes' own types. It is a module of its own, so that none of theirs becomes one of Sidekong's.
package kubernetes

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const configs = "../../configs/kubernetes"

func TestKustomize(t *testing.T) {
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), configs+"/base")
	if err != nil {
		t.Fatal(err)
	}
	text, err := rendered.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	o := decode(t, text)
	o.check(t)
	if len(o.deployments) != 1 || len(o.services) != 1 || len(o.configMaps) != 1 {
		t.Errorf("rendered:\n%s", text)
	}
}

func TestHelm(t *testing.T) {
	for _, tt := range []struct {
		name, values string
		sidecar      bool
		configMaps   int
	}{
		{"alone", "", false, 1},
		{"sidecar", "app: {image: 'hello-backend:latest', env: [{name: PORT, value: '3000'}], args: [a], resources: {limits: {memory: 1Gi}}}", true, 1},
		{"with everything", `
replicaCount: 3
image: {repository: registry.example/sidekong, tag: v1, pullPolicy: Always}
imagePullSecrets: [{name: pull}]
app:
  image: app:1
  command: [run]
  envFrom: [{secretRef: {name: app}}]
  volumeMounts: [{name: data, mountPath: /data}]
existingConfigMap: ours
settings: {log_level: info, shutdown_timeout: 10, trusted_ips: 10.0.0.0/8, allow_debug_header: true}
env: [{name: KONG_LOG_FORMAT, value: json}]
envFrom: [{secretRef: {name: sidekong}}]
service: {type: LoadBalancer, port: 8080, annotations: {a: b}}
drainSeconds: 10
terminationGracePeriodSeconds: 60
podDisruptionBudget: {enabled: false}
podAnnotations: {a: b}
podLabels: {c: d}
nodeSelector: {disk: ssd}
tolerations: [{key: a, operator: Exists}]
affinity: {podAntiAffinity: {}}
volumes: [{name: data, emptyDir: {}}]
`, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, err := render(t, tt.values)
			if err != nil {
				t.Fatal(err)
			}
			o := decode(t, text)
			o.check(t)
			if len(o.deployments) != 1 || len(o.services) != 1 || len(o.configMaps) != tt.configMaps {
				t.Fatalf("rendered:\n%s", text)
			}
			if got := len(o.deployments[0].Spec.Template.Spec.InitContainers) == 1; got != tt.sidecar {
				t.Errorf("a sidecar is %v, want %v", got, tt.sidecar)
			}
		})
	}
}

func TestHelmRefusesValues(t *testing.T) {
	for _, values := range []string{
		"replicas: 3", "replicaCount: three", "image: {repository: ''}", "settings: {KONG_LOG_LEVEL: info}",
		"service: {port: 0}", "app: {env: {PORT: 3000}}", "config: {services: []}",
	} {
		if _, err := render(t, values); err == nil || !strings.Contains(err.Error(), "schema") {
			t.Errorf("%s: got %v, want the schema to refuse it", values, err)
		}
	}
}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(configs + "/helm/sidekong")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

// render gives what `helm template hello` would.
func render(t *testing.T, text string) ([]byte, error) {
	t.Helper()
	values, err := chartutil.ReadValues([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c := load(t)
	options := chartutil.ReleaseOptions{Name: "hello", Namespace: "shop", IsInstall: true}
	merged, err := chartutil.ToRenderValues(c, values, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Engine{Strict: true}.Render(c, merged)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for name, content := range files {
		if strings.HasSuffix(name, ".yaml") {
			fmt.Fprintf(&out, "---\n%s\n", content)
		}
	}
	return out.Bytes(), nil
}

// objects are what was rendered.
type objects struct {
	deployments []*appsv1.Deployment
	services    []*corev1.Service
	configMaps  []*corev1.ConfigMap
	budgets     []*policyv1.PodDisruptionBudget
}

// decode reads objects strictly: a field that Kubernetes does not know, or one of another type, fails.
func decode(t *testing.T, text []byte) *objects {
	t.Helper()
	o := &objects{}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if err == io.EOF {
			return o
		}
		if err != nil {
			t.Fatal(err)
		}
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal(document, &meta); err != nil {
			t.Fatalf("%v:\n%s", err, document)
		}
		var into any
		switch meta.APIVersion + " " + meta.Kind {
		case " ":
			continue // nothing but comments
		case "apps/v1 Deployment":
			into = add(&o.deployments)
		case "v1 Service":
			into = add(&o.services)
		case "v1 ConfigMap":
			into = add(&o.configMaps)
		case "policy/v1 PodDisruptionBudget":
			into = add(&o.budgets)
		default:
			t.Fatalf("%s %s is not expected", meta.APIVersion, meta.Kind)
		}
		if err := yaml.UnmarshalStrict(document, into); err != nil {
			t.Fatalf("%s: %v:\n%s", meta.Kind, err, document)
		}
	}
}

func add[T any](list *[]*T) *T {
	item := new(T)
	*list = append(*list, item)
	return item
}

// check looks at what types do not say: that names lead somewhere, and what the README promises.
func (o *objects) check(t *testing.T) {
	t.Helper()
	for _, d := range o.deployments {
		pod := d.Spec.Template
		matches := func(what string, selector map[string]string) {
			t.Helper()
			if len(selector) == 0 || !labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels)) {
				t.Errorf("%s selects %v, the Pods are %v", what, selector, pod.Labels)
			}
		}
		matches("Deployment", d.Spec.Selector.MatchLabels)
		for _, s := range o.services {
			matches("Service", s.Spec.Selector)
		}
		for _, b := range o.budgets {
			matches("PodDisruptionBudget", b.Spec.Selector.MatchLabels)
		}
		checkPod(t, pod.Spec)
		for _, s := range o.services {
			for _, p := range s.Spec.Ports {
				if !slices.ContainsFunc(sidekong(t, pod.Spec).Ports, func(c corev1.ContainerPort) bool { return c.Name == p.TargetPort.StrVal }) {
					t.Errorf("the Service leads to port %v, which Sidekong does not have", p.TargetPort)
				}
			}
		}
		for _, v := range pod.Spec.Volumes {
			named := v.ConfigMap != nil && slices.ContainsFunc(o.configMaps, func(c *corev1.ConfigMap) bool { return c.Name == v.ConfigMap.Name })
			if v.ConfigMap != nil && !named && len(o.configMaps) > 0 {
				t.Errorf("no ConfigMap %s", v.ConfigMap.Name)
			}
		}
	}
	for _, c := range o.configMaps {
		if !strings.Contains(c.Data["kong.yaml"], "_format_version") {
			t.Errorf("ConfigMap %s holds %q", c.Name, c.Data)
		}
	}
}

func sidekong(t *testing.T, pod corev1.PodSpec) corev1.Container {
	t.Helper()
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		if c.Name == "sidekong" {
			return c
		}
	}
	t.Fatal("no container sidekong")
	return corev1.Container{}
}

func checkPod(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	for _, c := range pod.InitContainers {
		if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			t.Errorf("%s is no native sidecar", c.Name)
		}
	}
	if pod.SecurityContext == nil || pod.SecurityContext.RunAsNonRoot == nil || !*pod.SecurityContext.RunAsNonRoot {
		t.Error("the Pod may run as root")
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("the Pod gets a token for the API server")
	}
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
	}
	longest := int64(0)
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		s := c.SecurityContext
		if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil ||
			*s.AllowPrivilegeEscalation || s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") || s.RunAsUser == nil || *s.RunAsUser == 0 {
			t.Errorf("%s may more than it needs: %+v", c.Name, s)
		}
		if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.Sleep == nil {
			t.Errorf("%s ends while the Service still sends", c.Name)
			continue
		}
		longest += c.Lifecycle.PreStop.Sleep.Seconds
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s mounts %s, which is no volume", c.Name, m.Name)
			}
		}
	}
	const shutdown = 10 // seconds that Sidekong takes at most, with its defaults
	if pod.TerminationGracePeriodSeconds == nil || *pod.TerminationGracePeriodSeconds < longest+shutdown {
		t.Errorf("%d s to drain and %d s to end do not fit into the grace period", longest, shutdown)
	}
	c := sidekong(t, pod)
	for name, probe := range map[string]*corev1.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Port.StrVal != "status" || !strings.HasPrefix(probe.HTTPGet.Path, "/status") {
			t.Errorf("%s probe: %+v", name, probe)
		}
	}
}
