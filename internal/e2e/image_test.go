//go:build image

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	otlp "sidekong/internal/collector"
	"sidekong/internal/loopback"
)

// containers runs buildah and podman on a storage of the test's own. Nothing is pulled: where the Dockerfile's last
// stage copies from its first, the files come from dist, as `make image-test` has put them there.
type containers struct{ storage string }

func (c containers) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	global := []string{"--root", c.storage + "/root", "--runroot", c.storage + "/run", "--storage-driver", "vfs"}
	if program == "podman" {
		global = append(global, "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "none")
	}
	return exec.CommandContext(ctx, program, append(global, args...)...)
}

// do runs a command to its end and gives what it wrote to standard output.
func (c containers) do(ctx context.Context, t *testing.T, program string, args ...string) string {
	t.Helper()
	var stderr strings.Builder
	cmd := c.command(ctx, program, args...)
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, stdout, stderr.String())
	}
	return strings.TrimSpace(string(stdout))
}

func TestImageInTutorialsPlace(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if os.Getuid() != 0 {
		t.Fatal("buildah and podman need root here")
	}
	const image, name = "localhost/sidekong:test", "sidekong-image-test"
	c := containers{storage: t.TempDir()}
	c.do(ctx, t, "buildah", "bud", "--isolation", "chroot", "--format", "docker",
		"--build-context", "build="+repository, "--file", repository+"/Dockerfile", "--tag", image, repository)

	// What Docker would run needs bounds on a machine that has few of its own.
	run := []string{"run", "--rm", "--network", "host", "--ulimit", "nofile=20000:20000", "--ulimit", "nproc=5000:5000"}
	if got := c.do(ctx, t, "podman", append(slices.Clone(run), image, "version")...); !strings.HasPrefix(got, "sidekong ") {
		t.Errorf("version prints %q, want sidekong and a version", got)
	}

	collector := otlp.Start(t)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.URL.Path, r.Header.Get("Traceparent"))
	}))
	defer backend.Close()

	// As docker-compose.yml starts it, at other addresses.
	service := composeService(t, "kong")
	proxyAddress, statusAddress := loopback.Address(t), loopback.Address(t)
	for key, value := range map[string]string{
		"KONG_PROXY_LISTEN": proxyAddress, "KONG_STATUS_LISTEN": statusAddress,
		"KONG_ADMIN_LISTEN": loopback.Address(t), "KONG_ADMIN_GUI_LISTEN": loopback.Address(t),
	} {
		service.Environment[key] = value
	}
	config := filepath.Join(c.storage, "config")
	if err := os.Mkdir(config, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(config, "kong.yaml"), tutorial(t, strings.TrimPrefix(backend.URL, "http://"), collector.Address()))
	if diff := cmp.Diff([]string{"./config:/opt/kong:ro"}, service.Volumes); diff != "" {
		t.Errorf("volumes of the service kong (-want +got):\n%s", diff)
	}
	args := append(slices.Clone(run), "--name", name, "--read-only", "--tmpfs", "/tmp", "--volume", config+":/opt/kong:ro")
	for key, value := range service.Environment {
		args = append(args, "--env", key+"="+value)
	}
	var printed output
	container := c.command(ctx, "podman", append(args, image)...)
	container.Stdout, container.Stderr, container.WaitDelay = &printed, &printed, 5*time.Second
	if err := container.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The container outlives the podman that started it, and the test's context.
		late, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = c.command(late, "podman", "rm", "--force", "--ignore", "--time", "0", name).Run()
		if t.Failed() {
			t.Logf("the container printed:\n%s", printed.String())
		}
	})
	eventually(ctx, t, "the container to be healthy", func() bool {
		return c.command(ctx, "podman", "healthcheck", "run", name).Run() == nil
	})
	if got, want := c.do(ctx, t, "podman", "exec", name, "kong", "health"), "healthy"; got != want {
		t.Errorf("kong health prints %q, want %q", got, want)
	}

	// The kernel's word on who it is: real, effective, saved and file system's user.
	process, err := os.ReadFile("/proc/" + c.do(ctx, t, "podman", "inspect", "--format", "{{.State.Pid}}", name) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	if want := "\nUid:\t1000\t1000\t1000\t1000\n"; !strings.Contains(string(process), want) {
		t.Errorf("the process is not the user 1000:\n%s", process)
	}

	response, body, err := get(ctx, "http://"+proxyAddress+"/hello")
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(body, "/ 00-") {
		t.Errorf("got %s %q, want 200 and the path / with a traceparent", response.Status, body)
	}
	spans, err := collector.Wait(1, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := spans[0].Resource["service.name"], "kong-dev"; got != want {
		t.Errorf("service.name is %q, want %q", got, want)
	}

	c.do(ctx, t, "podman", "stop", "--time", "20", name)
	if err := container.Wait(); err != nil {
		t.Errorf("the container ended with %v, want code 0", err)
	}
}

type service struct {
	Environment map[string]string
	Volumes     []string
}

func composeService(t *testing.T, name string) service {
	t.Helper()
	content, err := os.ReadFile(repository + "/configs/compose/docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Services map[string]service }
	if err := yaml.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	found, ok := file.Services[name]
	if !ok {
		t.Fatalf("docker-compose.yml has no service %s", name)
	}
	return found
}
