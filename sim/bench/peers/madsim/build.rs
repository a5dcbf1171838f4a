//! Generates the gRPC service. It is described here in Rust: a fresh machine has no protoc. madsim passes messages on as they are, so they need no codec.

use std::path::Path;

use madsim_tonic_build::{Attributes, client, server};
use tonic_build::manual::{Method, Service};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let method = Method::builder().name("ask").route_name("Ask").codec_path("crate::Codec");
    let method = method.input_type("crate::Question").output_type("crate::Answer");
    let service = Service::builder().name("Bench").package("bench").method(method.build()).build();
    let attributes = Attributes::default();
    let client = client::generate(&service, true, "", false, &attributes);
    let server = server::generate(&service, true, "", false, &attributes);
    let file = syn::parse_file(&format!("{client}\n{server}")).expect("what was generated is Rust");
    let out = std::env::var_os("OUT_DIR").expect("cargo says where to");
    std::fs::write(Path::new(&out).join("bench.rs"), prettyplease::unparse(&file))
        .expect("cargo's folder can be written");
}
