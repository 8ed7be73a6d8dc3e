// otelreceiver is the OTLP receiver of the OpenTelemetry Collector, with everything that it received in a file.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"math/big"
	"net"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

func main() {
	listen := flag.String("listen", "", "the address to listen on")
	received := flag.String("received", "", "the file with one line for each request: its API key, and its metrics as JSON")
	certificate := flag.String("certificate", "", "the file to write its new certificate to; without it there is no TLS")
	flag.Parse()
	if err := run(*listen, *received, *certificate); err != nil {
		log.Fatal(err)
	}
}

func run(listen, received, certificate string) error {
	file, err := os.Create(received)
	if err != nil {
		return err
	}
	var lock sync.Mutex
	sink, err := consumer.NewMetrics(func(ctx context.Context, metrics pmetric.Metrics) error {
		line, err := new(pmetric.JSONMarshaler).MarshalMetrics(metrics)
		if err != nil {
			return err
		}
		lock.Lock()
		defer lock.Unlock()
		keys := client.FromContext(ctx).Metadata.Get("mackerel-api-key")
		_, err = fmt.Fprintf(file, "{\"keys\":%q,\"metrics\":%s}\n", fmt.Sprint(keys), line)
		return err
	})
	if err != nil {
		return err
	}

	grpc := map[string]any{"endpoint": listen, "include_metadata": true}
	if certificate != "" {
		cert, key, err := selfSigned()
		if err != nil {
			return err
		}
		if err := os.WriteFile(certificate, cert, 0o600); err != nil {
			return err
		}
		grpc["tls"] = map[string]any{"cert_pem": string(cert), "key_pem": string(key)}
	}
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	settings := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{"grpc": grpc}})
	if err := settings.Unmarshal(config); err != nil {
		return err
	}
	ctx := context.Background()
	receiver, err := factory.CreateMetrics(ctx, receivertest.NewNopSettings(factory.Type()), config, sink)
	if err != nil {
		return err
	}
	if err := receiver.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	fmt.Println(listen)
	select {}
}

// selfSigned makes a certificate of 127.0.0.1 and its key, as openssl req -x509 does.
func selfSigned() (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "otelreceiver"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes}), nil
}
