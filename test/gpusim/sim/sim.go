// Package sim is the simulated node for tests: Start runs one in this process, Attach takes one that `gpusim run` serves, and both
// give a Node with the actions of the hand at the machine. Agents in other processes load the library below Node.Dir and see the
// same GPUs. It owns the life of what it started and nothing of what it attached to.
package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/daemon"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

// Options say which node to start.
type Options struct {
	// Shape is a name of package shapes or a file.
	Shape string
	// Hardware is a shape as a value; it goes before Shape.
	Hardware *model.Shape
	// Dir becomes the machine; see package daemon for what it holds.
	Dir string
	// Driver is a version other than the shape's.
	Driver string
	// Seed makes UUIDs and noise.
	Seed uint64
	// Strict lets MIG handles of other clients keep an instance busy.
	Strict bool
	// Clock defaults to the system's.
	Clock model.Clock
	// CollapseXIDs makes several XIDs of a GPU between two waits one event, as on real drivers.
	CollapseXIDs bool
	// HostEngine is the version of an nv-hostengine that runs from the start; empty: none.
	HostEngine string
	Log        *slog.Logger
}

// Node is a simulated node. Actions are safe for concurrent use; Serve, Halt and Stop are not.
type Node struct {
	Dir string
	// Model is the node itself when it runs in this process, otherwise nil.
	Model *model.Node

	log     *slog.Logger
	engines *daemon.Engines
	stop    func() error // nil while nobody serves
	http    *http.Client
}

// LoadShape reads a shape by name or from a file.
func LoadShape(name string) (model.Shape, error) {
	if !strings.ContainsAny(name, "/.") {
		return shapes.Load(name)
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return model.Shape{}, fmt.Errorf("no shape file %s; by name there are %s", name, strings.Join(shapes.Names(), ", "))
	}
	if err != nil {
		return model.Shape{}, err
	}
	return model.ParseShape(data)
}

// Start boots a node in this process and serves it. Stop it before Dir is removed.
func Start(ctx context.Context, o Options) (*Node, error) {
	if o.Hardware == nil {
		shape, err := LoadShape(o.Shape)
		if err != nil {
			return nil, err
		}
		o.Hardware = &shape
	}
	m, err := model.New(*o.Hardware, model.Options{Clock: o.Clock, Seed: o.Seed, Driver: o.Driver, StrictHandles: o.Strict, CollapseXIDs: o.CollapseXIDs})
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	n := &Node{Dir: dir, Model: m, log: o.Log, engines: daemon.NewEngines(m, dir, o.Log)}
	if err := n.Serve(ctx); err != nil || o.HostEngine == "" {
		return n, err
	}
	if err := n.engines.Start(ctx, o.HostEngine); err != nil {
		return n, errors.Join(err, n.Stop())
	}
	return n, nil
}

// Attach takes a node that another process serves.
func Attach(ctx context.Context, dir string) (*Node, error) {
	socket := filepath.Join(dir, daemon.ControlSocket)
	n := &Node{Dir: dir, http: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}}
	if _, err := n.Status(ctx); err != nil {
		return nil, fmt.Errorf("no node is served in %s: %w", dir, err)
	}
	return n, nil
}

// Serve serves a started node that is halted.
func (n *Node) Serve(ctx context.Context) error {
	d, err := daemon.Prepare(ctx, daemon.Config{Node: n.Model, Root: n.Dir, Engines: n.engines, Log: n.log})
	if err != nil {
		return err
	}
	// The node outlives the context of the call that started it: tests stop it in their cleanup.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- d.Run(running) }()
	n.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	return nil
}

// Halt stops serving, as if the driver's side died; the node keeps its state and Serve goes on with it. Clients find their session
// gone.
func (n *Node) Halt() error {
	if n.stop == nil {
		return nil
	}
	err := n.stop()
	n.stop = nil
	return err
}

// Stop ends a node of Start; of Attach it only gives the connection back.
func (n *Node) Stop() error {
	if n.http != nil {
		n.http.CloseIdleConnections()
	}
	if n.engines != nil {
		n.engines.Stop()
	}
	return n.Halt()
}

// Library is the path of libnvidia-ml.so.1.
func (n *Node) Library() string { return filepath.Join(n.Dir, "lib", "libnvidia-ml.so.1") }

// Socket is where the library finds the node: the value of GPUSIM_SOCKET for a library in another place.
func (n *Node) Socket() string { return filepath.Join(n.Dir, daemon.NVMLSocket) }

// Root is one of the node's trees: proc, sys, dev or driver.
func (n *Node) Root(name string) string { return filepath.Join(n.Dir, name) }

// Flags are the product's options that make it see this node.
func (n *Node) Flags() []string {
	return []string{
		"--proc-root", n.Root("proc"), "--sys-root", n.Root("sys"), "--dev-root", n.Root("dev"), "--driver-root", n.Root("driver"),
		"--nvml-library", n.Library(),
	}
}

// Do does any action.
func (n *Node) Do(ctx context.Context, c daemon.Command) (daemon.Answer, error) {
	if n.Model != nil {
		return daemon.Apply(ctx, n.Model, n.engines, c)
	}
	body, err := json.Marshal(c)
	if err != nil {
		return daemon.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gpusim/do", bytes.NewReader(body))
	if err != nil {
		return daemon.Answer{}, err
	}
	resp, err := n.http.Do(req)
	if err != nil {
		return daemon.Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return daemon.Answer{}, errors.New(strings.TrimSpace(string(text)))
	}
	var a daemon.Answer
	return a, json.NewDecoder(resp.Body).Decode(&a)
}
