package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// page is what a scrape gets as text.
func (b *bed) page(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.metrics+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(resp.Body)
}

// handlerP99 is the upper bound, in seconds, of the bucket that the 99th percentile of a method's durations is in, as the agent counts
// them around its handler.
func (b *bed) handlerP99(ctx context.Context, resource, method string) (float64, error) {
	page, err := b.page(ctx)
	if err != nil {
		return 0, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(page))
	if err != nil {
		return 0, err
	}
	const name = "gpulet_device_plugin_call_duration_seconds"
	for _, m := range families[name].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if labels["resource"] != resource || labels["method"] != method {
			continue
		}
		h := m.GetHistogram()
		for _, bucket := range h.GetBucket() {
			if float64(bucket.GetCumulativeCount()) >= 0.99*float64(h.GetSampleCount()) {
				return bucket.GetUpperBound(), nil
			}
		}
	}
	return 0, fmt.Errorf("no %s of %s of %s", name, method, resource)
}

// freeAddress is an address of loopback that nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
