package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ErrNotRunning says that no agent answers on the admin socket.
var ErrNotRunning = errors.New("no agent answers")

// Client speaks to an agent through its admin socket.
type Client struct {
	Socket string
	// Timeout is for one answer, 10 s unless set: an agent that hangs must not hang who asks why.
	Timeout time.Duration
}

// Status asks for everything.
func (c Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, http.MethodGet, "/status", &s)
}

// Settings asks for the configuration in force.
func (c Client) Settings(ctx context.Context) (s Settings, err error) {
	return s, c.call(ctx, http.MethodGet, "/config", &s)
}

// Metrics asks for the page that a scrape gets now, in Prometheus's text form.
func (c Client) Metrics(ctx context.Context) ([]byte, error) {
	return c.get(ctx, http.MethodGet, "/metrics")
}

// Reload has the configuration read now.
func (c Client) Reload(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/config/reload", nil)
}

// ClearHealth ends the recorded reasons for a GPU's bad health; the GPU is named by index or UUID.
func (c Client) ClearHealth(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodPost, "/health/clear?gpu="+url.QueryEscape(name), nil)
}

func (c Client) call(ctx context.Context, method, path string, into any) error {
	body, err := c.get(ctx, method, path)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	return nil
}

func (c Client) get(ctx context.Context, method, path string) ([]byte, error) {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", c.Socket)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w on %s: %w", ErrNotRunning, c.Socket, errors.Unwrap(err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the agent's answer: %w", err)
	case resp.StatusCode != http.StatusOK:
		return nil, errors.New(strings.TrimSpace(string(body)))
	}
	return body, nil
}
