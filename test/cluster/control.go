package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The control plane's machine has its files here, and etcd its data in memory.
const (
	controlFiles = "/run/control"
	etcdData     = "/run/etcd"
)

// writeControl writes the certificates and kubeconfigs of the control plane into folder.
func (c *Cluster) writeControl(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	front, err := newAuthority("gpulet-test-front-proxy")
	if err != nil {
		return err
	}
	service := c.plan.service().String()
	pairs := []struct {
		file      string
		by        *authority
		name      string
		groups    []string
		addresses []string
	}{
		{"apiserver", c.authority, "kube-apiserver", nil, []string{
			service, c.plan.control().String(), "127.0.0.1", "localhost",
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}},
		{"kubelet-client", c.authority, "kube-apiserver-kubelet-client", []string{"system:masters"}, nil},
		{"service-account", c.authority, "service-accounts", nil, nil},
		{"front-proxy", front, "front-proxy", nil, nil},
	}
	for _, p := range pairs {
		issued, err := p.by.issue(p.name, p.groups, p.addresses)
		if err != nil {
			return err
		}
		if err := issued.write(folder, p.file); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "front-ca.crt"), front.pem(), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "ca.crt"), c.authority.pem(), 0o600); err != nil {
		return err
	}
	for _, user := range []string{"kube-controller-manager", "kube-scheduler"} {
		err := c.authority.writeKubeconfig(filepath.Join(folder, user+".yaml"), c.server(), "system:"+user)
		if err != nil {
			return err
		}
	}
	return c.authority.writeKubeconfig(c.Kubeconfig, c.server(), "admin", "system:masters")
}

// server is the API server's address for everyone: host, nodes and, through the environment that
// the kubelet gives them, pods.
func (c *Cluster) server() string { return "https://" + c.plan.service().String() + ":443" }

// program makes a process of the multi-call Kubernetes program.
func (c *Cluster) program(m *machine, name string, args ...string) *process {
	return &process{
		machine: m, name: name, logFile: filepath.Join(c.Dir, "logs", m.name+"-"+name+".log"),
		argv: append([]string{"/run/programs/kubernetes/kubernetes", name}, args...),
	}
}

// startControl brings up etcd, the API server, the controllers and the scheduler, and returns when
// the API server is ready.
func (c *Cluster) startControl(ctx context.Context) error {
	in := func(name string) string { return filepath.Join(controlFiles, name) }
	etcd := c.program(&c.control, "etcd",
		"--data-dir", etcdData, "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
		"--listen-peer-urls", "http://127.0.0.1:2380")
	c.apiserver = c.program(&c.control, "kube-apiserver",
		"--etcd-servers", "http://127.0.0.1:2379",
		"--bind-address", "0.0.0.0", "--secure-port", "443", "--advertise-address", c.plan.control().String(),
		"--service-cluster-ip-range", c.plan.services(),
		"--tls-cert-file", in("apiserver.crt"), "--tls-private-key-file", in("apiserver.key"),
		"--client-ca-file", in("ca.crt"),
		"--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
		"--allow-privileged",
		"--kubelet-client-certificate", in("kubelet-client.crt"), "--kubelet-client-key", in("kubelet-client.key"),
		"--kubelet-certificate-authority", in("ca.crt"), "--kubelet-preferred-address-types", "InternalIP",
		"--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file", in("service-account.key"),
		"--service-account-signing-key-file", in("service-account.key"),
		// The aggregator, for metrics adapters.
		"--requestheader-client-ca-file", in("front-ca.crt"), "--requestheader-allowed-names", "front-proxy",
		"--requestheader-extra-headers-prefix", "X-Remote-Extra-", "--requestheader-group-headers", "X-Remote-Group",
		"--requestheader-username-headers", "X-Remote-User",
		"--proxy-client-cert-file", in("front-proxy.crt"), "--proxy-client-key-file", in("front-proxy.key"),
		"--enable-aggregator-routing")
	c.controllers = c.program(&c.control, "kube-controller-manager",
		"--kubeconfig", in("kube-controller-manager.yaml"), "--leader-elect=false",
		"--use-service-account-credentials", "--service-account-private-key-file", in("service-account.key"),
		"--root-ca-file", in("ca.crt"), "--authentication-kubeconfig", in("kube-controller-manager.yaml"),
		"--authorization-kubeconfig", in("kube-controller-manager.yaml"))
	c.scheduler = c.program(&c.control, "kube-scheduler",
		"--kubeconfig", in("kube-scheduler.yaml"), "--leader-elect=false",
		"--authentication-kubeconfig", in("kube-scheduler.yaml"), "--authorization-kubeconfig", in("kube-scheduler.yaml"))
	if err := etcd.start(); err != nil {
		return err
	}
	if err := c.StartAPIServer(ctx); err != nil {
		return err
	}
	if err := c.controllers.start(); err != nil {
		return err
	}
	return c.scheduler.start()
}

// StopAPIServer ends the API server as a crash would: asked nicely, it waits for its watchers, for
// up to a minute. etcd goes on.
func (c *Cluster) StopAPIServer() error { return c.apiserver.stop(unix.SIGKILL) }

// StartAPIServer starts the API server, unless it runs, and waits until it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if err := c.apiserver.start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	roots := x509.NewCertPool()
	roots.AddCert(c.authority.cert)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}, Timeout: 5 * time.Second}
	return c.apiserver.await(ctx, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server()+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 2000))
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", resp.Status, body)
		}
		return nil
	})
}
