package view

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"

	"carob/internal/look/draw"
	"carob/internal/look/draw/scene"
	"carob/internal/look/draw/svg"
)

// handler answers requests to an address.
func (s *Server) handler(address string) http.Handler {
	files, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // the directory is a part of the program
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /draw.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write([]byte(svg.Style())) // who has gone needs no answer
	})
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("GET /details", s.details)
	return s.guard(address, mux)
}

// guard lets those in who know the word and mean this address.
func (s *Server) guard(address string, next http.Handler) http.Handler {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		panic(err) // it is a listener's
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		if r.Host != "127.0.0.1:"+port && r.Host != "localhost:"+port {
			http.Error(w, "this is another host", http.StatusMisdirectedRequest)
			return
		}
		word, rest, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		plain := rest == "" || fs.ValidPath(rest) // nothing that leads out, or is to be tidied
		if !ok || !plain || subtle.ConstantTimeCompare([]byte(word), []byte(s.token)) != 1 {
			http.NotFound(w, r)
			return
		}
		inside := r.Clone(r.Context())
		inside.URL.Path, inside.URL.RawPath = "/"+rest, ""
		next.ServeHTTP(w, inside)
	})
}

// shown is what a page is sent. Problem is set when the thing cannot be drawn now.
type shown struct {
	SVG     string `json:"svg,omitempty"`
	Title   string `json:"title,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// look draws what a request is about.
func (s *Server) look(ctx context.Context, r *http.Request) (string, *scene.Scene, error) {
	o := s.options.Look
	if r.URL.Query().Has("thing") {
		o.Thing = r.URL.Query().Get("thing")
	}
	in, err := draw.Read(ctx, o)
	if err != nil {
		return "", nil, err
	}
	return draw.Page(in)
}

// events sends the drawing when it has changed (server-sent events, HTML Living Standard
// 9.2), and a comment when it has not, so that a browser that has gone is noticed.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.pages <- struct{}{}:
		defer func() { <-s.pages }()
	default:
		http.Error(w, "too many pages are open", http.StatusTooManyRequests)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	tick := time.NewTicker(s.options.Every)
	defer tick.Stop()
	var before []byte
	for {
		now, err := s.event(r)
		if err != nil {
			return // ctx has ended
		}
		text := fmt.Appendf(nil, "data: %s\n\n", now)
		if bytes.Equal(now, before) {
			text = []byte(": the same\n\n")
		}
		before = now
		_ = out.SetWriteDeadline(time.Now().Add(10 * time.Second)) // a browser that sleeps loses its page
		if _, err := w.Write(text); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// event is the drawing as it is now, in one line.
func (s *Server) event(r *http.Request) ([]byte, error) {
	picture, sc, err := s.look(r.Context(), r)
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	if err != nil {
		return json.Marshal(shown{Problem: err.Error()})
	}
	return json.Marshal(shown{SVG: picture, Title: sc.Title})
}

// details tells of one thing in the drawing.
func (s *Server) details(w http.ResponseWriter, r *http.Request) {
	_, sc, err := s.look(r.Context(), r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	d, ok := sc.Details(r.URL.Query().Get("key"))
	if !ok {
		http.Error(w, "it is gone", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(d) // who has gone needs no answer
}
