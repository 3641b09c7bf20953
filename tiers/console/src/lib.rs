//! The web page and API that show and steer a running Pumasi.
