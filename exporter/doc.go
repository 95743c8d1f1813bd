// Package exporter turns measurements into /metrics: a sampler in the background, families as data, per-pod attribution.
// It owns the sample set of the node and what is counted from it. A scrape formats the set and calls nothing; no call of the
// driver is made but through the queues of package gpu, and what DCGM does wrong stays in its own process.
package exporter
