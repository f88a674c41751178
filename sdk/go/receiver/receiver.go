// Package receiver is for plugins that deliver groups of alerts.
package receiver

import "stormglass"

// Label is a name and a value.
type Label struct {
	Name  string
	Value string
}

// Status of an alert or a group.
type Status uint8

const (
	Firing Status = iota
	Resolved
)

func (s Status) String() string {
	if s == Firing {
		return "firing"
	}
	return "resolved"
}

// Alert is one alert; names follow Alertmanager's webhook body.
type Alert struct {
	Status       Status
	Labels       []Label
	Annotations  []Label
	StartsAt     string
	EndsAt       string
	GeneratorURL string
	Fingerprint  string
}

// Notification is one group of alerts. IdempotencyKey is the same for every attempt to deliver the same thing.
type Notification struct {
	IdempotencyKey    string
	Attempt           uint32
	GroupKey          string
	Status            Status
	Receiver          string
	GroupLabels       []Label
	CommonLabels      []Label
	CommonAnnotations []Label
	ExternalURL       string
	TruncatedAlerts   uint64
	Alerts            []Alert
}

// Receiver is a plugin that delivers.
type Receiver interface {
	// Notify delivers one notification. nil says that it has arrived; a retryable error asks for another attempt.
	Notify(notification Notification) error
}

// Register says how the plugin is made; to be called in an init function.
func Register[C any, P Receiver](make func(config C) (P, error)) { stormglass.Register(make) }
