//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/test/cluster"
	"github.com/gpulet/gpulet/test/cluster/kube"
)

// world is what all tests share: one cluster of two nodes, and the images.
type world struct {
	*kube.Kube
	cluster *cluster.Cluster
	dir     string
	seeds   uint64
}

// seed is another one at each call: no test meets the GPUs of the one before.
func (w *world) seed() uint64 {
	w.seeds++
	return w.seeds
}

// here is the world of this run; TestMain makes it.
var here *world

func TestMain(m *testing.M) {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, m))
}

func run(ctx context.Context, m *testing.M) int {
	dir, err := os.MkdirTemp("", "gpulet-e2e")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		here, err = begin(ctx, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the cluster did not come up:", err)
		return 1
	}
	defer func() {
		if err := here.cluster.Down(); err != nil {
			fmt.Fprintln(os.Stderr, "the cluster did not go down:", err)
		}
	}()
	return m.Run()
}

// begin builds what runs in the cluster and brings it up.
func begin(ctx context.Context, dir string) (*world, error) {
	w := &world{dir: dir}
	if err := w.images(ctx); err != nil {
		return nil, err
	}
	var nodes []cluster.NodeOptions
	for i := range 2 {
		host := w.machineDir(i)
		if err := os.MkdirAll(host, 0o755); err != nil {
			return nil, err
		}
		nodes = append(nodes, cluster.NodeOptions{Binds: []cluster.Bind{{Host: host, Node: machinePath}}})
	}
	var err error
	if w.cluster, err = cluster.Up(ctx, cluster.Options{
		Dir: filepath.Join(dir, "c"), Nodes: len(nodes), PerNode: nodes,
		Kubelet: map[string]any{"maxPods": 600},
		Log:     slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}); err != nil {
		return nil, err
	}
	config, err := w.cluster.Client()
	if err == nil {
		config.QPS, config.Burst = 200, 400
		w.Kube, err = kube.New(config)
	}
	for _, image := range []string{"gpulet.tar", "probe.tar"} {
		if err == nil {
			err = w.cluster.LoadImage(ctx, filepath.Join(dir, image))
		}
	}
	if err != nil {
		_ = w.cluster.Down()
		return nil, err
	}
	return w, nil
}

func (w *world) machineDir(i int) string { return filepath.Join(w.dir, fmt.Sprintf("node-%d", i+1)) }

// images builds the agent's image as `make image` does, and that of the pods of the tests.
func (w *world) images(ctx context.Context) error {
	for _, args := range [][]string{
		{"build", "-o", filepath.Join(w.dir, "gpulet"), "./cmd/gpulet"},
		{"run", "./test/cluster/cmd/cluster", "image", "--gpulet", filepath.Join(w.dir, "gpulet"), "--out", filepath.Join(w.dir, "gpulet.tar")},
		{"build", "-o", filepath.Join(w.dir, "probe"), "./test/e2e/probe"},
		{"build", "-o", filepath.Join(w.dir, "plain"), "./test/e2e/plain"},
	} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = "../.."
		if strings.Contains(args[len(args)-1], "e2e") {
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return cluster.Image{Name: probeImage, Entrypoint: []string{"/probe"}, Files: map[string]string{
		"/probe": filepath.Join(w.dir, "probe"), "/bin/plain": filepath.Join(w.dir, "plain"),
	}}.Write(filepath.Join(w.dir, "probe.tar"))
}

const (
	probeImage = "probe:dev"
	// machinePath is where a node of the cluster has its simulated machine.
	machinePath = "/opt/gpusim"
)
