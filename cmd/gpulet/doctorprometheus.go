package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// scrapedWithin is how old the last scrape may be.
	scrapedWithin = time.Minute
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 1 << 20
)

// prometheus: was this node scraped within the last minute, and is a pod found by its own name?
func (m chain) prometheus(ctx context.Context) []finding {
	infos := m.page["gpu_info"].GetMetric()
	if len(infos) == 0 {
		return []finding{{fail, "the page has no gpu_info to look for", "mend the links before this one"}}
	}
	const job = "see its page Status > Targets; deployments/monitoring/scrape.yaml has the job, and port 9400 must be reachable"
	gpu := selector("UUID", label(infos[0], "UUID", "uuid"))
	age, found, err := m.ask(ctx, "time() - max(timestamp(gpu_info"+gpu+"))")
	switch {
	case err != nil:
		return []finding{{fail, err.Error(), "see that the URL is right and can be reached from here"}}
	case !found:
		return []finding{{fail, m.server + " does not have this node's GPUs", job}}
	case age > scrapedWithin.Seconds():
		return []finding{{fail, fmt.Sprintf("%s scraped this node %s ago", m.server, time.Duration(age*float64(time.Second)).Round(time.Second)), job}}
	}
	out := []finding{{ok, fmt.Sprintf("it scraped this node %.0f s ago", max(age, 0)), ""}}
	return append(out, m.foundByName(ctx, gpu)...)
}

// foundByName looks for a pod's series as its owner would.
func (m chain) foundByName(ctx context.Context, gpu string) []finding {
	const relabel = "drop the scrape's own pod, namespace and container labels, as deployments/monitoring/scrape.yaml does"
	aside, found, err := m.ask(ctx, "count(gpu_pod_info"+strings.TrimSuffix(gpu, "}")+`,exported_pod!=""})`)
	if err == nil && !found { // the pods may all be on other GPUs of this node
		aside, found, err = m.ask(ctx, `count(gpu_pod_info{exported_pod!=""})`)
	}
	switch {
	case err != nil:
		return []finding{{fail, err.Error(), ""}}
	case found && aside > 0:
		return []finding{{fail, "pods are in the label exported_pod, where no autoscaler looks", relabel}}
	}
	pods := m.known()
	if len(pods) == 0 {
		return []finding{{ok, "no pod has a device that could be looked for", ""}}
	}
	c := pods[0]
	pod := c.Namespace + "/" + c.Name
	_, found, err = m.ask(ctx, "count(gpu_pod_info"+selector("namespace", c.Namespace, "pod", c.Name)+")")
	switch {
	case err != nil:
		return []finding{{fail, err.Error(), ""}}
	case !found:
		return []finding{{fail, "it does not find " + pod + " by its namespace and pod", relabel}}
	}
	return []finding{{ok, "it finds " + pod + " by its namespace and pod", ""}}
}

// selector is {name="value",...}.
func selector(pairs ...string) string {
	var out []string
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, pairs[i]+"="+strconv.Quote(pairs[i+1]))
	}
	return "{" + strings.Join(out, ",") + "}"
}

// ask gives the first value of an instant query; false when there is none.
func (m chain) ask(ctx context.Context, query string) (value float64, found bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.server+"/api/v1/query?query="+url.QueryEscape(query), nil)
	if err != nil {
		return 0, false, fmt.Errorf("ask Prometheus: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, false, fmt.Errorf("ask Prometheus: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, false, fmt.Errorf("read Prometheus's answer: %w", err)
	}
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct{ Value [2]any }
		}
	}
	if json.Unmarshal(body, &answer) != nil || answer.Status != "success" {
		return 0, false, fmt.Errorf("%s does not answer as Prometheus: %s %s", m.server, resp.Status, answer.Error)
	}
	if len(answer.Data.Result) == 0 {
		return 0, false, nil
	}
	text, _ := answer.Data.Result[0].Value[1].(string)
	if value, err = strconv.ParseFloat(text, 64); err != nil {
		return 0, false, fmt.Errorf("read Prometheus's answer: %w", err)
	}
	return value, true, nil
}
