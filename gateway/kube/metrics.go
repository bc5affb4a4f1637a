package kube

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1 "k8s.io/api/core/v1"
	apimetrics "k8s.io/apiserver/pkg/endpoints/metrics"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/endpoints/responsewriter"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/stave-run/stave/events"
)

// Requests are counted by Kubernetes' own code under its own names, so that dashboards
// made for kube-apiserver show this server too. What Stave has besides is gathered
// when somebody asks, from the same snapshot as answers.

// component is the label under which Kubernetes' metrics are of this server.
const component = "apiserver"

// methods are the verbs as Kubernetes' metrics name them.
var methods = map[string]string{"get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH",
	"delete": "DELETE", "deletecollection": "DELETECOLLECTION"}

// counted has an answer counted when it is given, and long requests while they last.
// Of a path that is not served no part becomes a label: anybody may ask for any.
func counted(w http.ResponseWriter, r *http.Request, i *request.RequestInfo, served bool, answer http.HandlerFunc) {
	at, ok := request.ReceivedTimestampFrom(r.Context())
	if !ok {
		at = time.Now()
	}
	labels := request.RequestInfo{}
	if served {
		labels = *i
	}
	to := &apimetrics.ResponseWriterDelegator{ResponseWriter: w}
	count := func() {
		apimetrics.MonitorRequest(r, methods[i.Verb], labels.APIGroup, labels.APIVersion, labels.Resource, labels.Subresource, apimetrics.CleanScope(&labels), component, false, "",
			to.Status(), to.ContentLength(), time.Since(at))
	}
	defer count()
	if !isLong(i, r) {
		answer(responsewriter.WrapForHTTP1Or2(to), r)
		return
	}
	apimetrics.RecordLongRunning(r, i, component, func() { answer(responsewriter.WrapForHTTP1Or2(to), r) })
}

// newMetrics serves /metrics.
func (s *Server) newMetrics() http.Handler {
	apimetrics.Register()
	own := prometheus.NewRegistry()
	own.MustRegister(gauges{s})
	return promhttp.HandlerFor(prometheus.Gatherers{legacyregistry.DefaultGatherer, own}, promhttp.HandlerOpts{})
}

// gauges are what Stave tells of itself.
type gauges struct{ *Server }

func described(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("stave_"+name, help, labels, nil)
}

var (
	logSequence   = described("log_sequence", "The newest event of the log.")
	logDurable    = described("log_durable_sequence", "The newest event that a power cut cannot take back.")
	logFolded     = described("log_folded_sequence", "The newest durable event that answers are made from.")
	logLag        = described("log_watermark_lag_events", "Events that are written and not durable yet.")
	objectCount   = described("objects", "Objects by resource.", "resource")
	podCount      = described("pods", "Pods by phase.", "phase")
	noteCount     = described("notes", "What clients wrote beside the log, by resource.", "resource")
	noteBytes     = described("notes_bytes", "How large that is.", "resource")
	requestSeats  = described("requests_in_flight", "Requests that are being answered, by kind: read, write, or long (watches and streams).", "kind")
	requestQueues = described("requests_waiting", "Requests that wait for a seat.", "kind")
)

// Describe implements prometheus.Collector.
func (gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{logSequence, logDurable, logFolded, logLag, objectCount, podCount, noteCount, noteBytes, requestSeats, requestQueues} {
		out <- d
	}
}

// gatherTime bounds the look at the log for one scrape.
const gatherTime = 5 * time.Second

// Collect implements prometheus.Collector.
func (g gauges) Collect(out chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	ctx, cancel := context.WithTimeout(g.base, gatherTime)
	defer cancel()
	v, durable := g.Views.Durable(), g.Log.Durable()
	tell(logDurable, float64(durable))
	tell(logFolded, float64(v.Seq))
	if b, err := g.Log.Bounds(ctx); err == nil {
		tell(logSequence, float64(b.Last))
		tell(logLag, float64(max(b.Last, durable)-durable))
	}
	for _, k := range events.Kinds {
		if k.Derived {
			continue
		}
		n := 0
		for range v.List(k.Resource, "") {
			n++
		}
		tell(objectCount, float64(n), string(k.Resource))
	}
	for phase, n := range g.phases() {
		tell(podCount, float64(n), string(phase))
	}
	for r, x := range g.book.sizes() {
		tell(noteCount, float64(x.rows), string(r))
		tell(noteBytes, float64(x.bytes), string(r))
	}
	for kind, s := range map[string]*seats{"read": g.busy.reads, "write": g.busy.writes, "long": g.busy.long} {
		taken, waiting := s.held()
		tell(requestSeats, float64(taken), kind)
		tell(requestQueues, float64(waiting), kind)
	}
}

// phases counts pods.
func (g gauges) phases() map[corev1.PodPhase]int {
	out := map[corev1.PodPhase]int{corev1.PodPending: 0, corev1.PodRunning: 0, corev1.PodSucceeded: 0, corev1.PodFailed: 0}
	for o := range g.Views.Durable().Objects(events.Pods, "", g.Now()) {
		if p, ok := o.(*corev1.Pod); ok {
			out[p.Status.Phase]++
		}
	}
	return out
}

// size is how much there is of a resource.
type size struct{ rows, bytes int }

// sizes are those of all shelves.
func (b *notebook) sizes() map[events.Resource]size {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[events.Resource]size{}
	for r, s := range b.shelves {
		n := 0
		for _, row := range s.rows {
			if row.object != nil {
				n++
			}
		}
		out[r] = size{n, s.bytes}
	}
	return out
}
