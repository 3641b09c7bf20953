//! The packets of a login, from the server's greeting to its verdict ("Connection Phase").

use crate::{
    Capabilities, ServerStatus, WireError,
    auth::{ED25519, Salt},
    cursor::{Cursor, put_lenenc_bytes, put_lenenc_int, put_zero_ended},
};

/// Pairs of connection attributes kept per login; a client that sends more is welcome, the rest is not remembered.
const ATTRIBUTES_MAX: usize = 64;

/// The server's first packet (Protocol::HandshakeV10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    pub version: String,
    pub connection_id: u32,
    pub capabilities: Capabilities,
    /// Low byte of the default collation's number.
    pub collation: u8,
    pub status: ServerStatus,
    pub salt: Salt,
    /// The authentication plugin the salt is meant for.
    pub plugin: String,
}

impl Greeting {
    pub fn encode(&self, out: &mut Vec<u8>) {
        let capabilities = self.capabilities.0.to_le_bytes();
        let (first, second) = self.salt.0.split_at(8);
        out.push(10);
        put_zero_ended(out, self.version.as_bytes());
        out.extend_from_slice(&self.connection_id.to_le_bytes());
        out.extend_from_slice(first);
        out.push(0);
        out.extend_from_slice(&capabilities[..2]);
        out.push(self.collation);
        out.extend_from_slice(&self.status.0.to_le_bytes());
        out.extend_from_slice(&capabilities[2..4]);
        out.push(self.salt.0.len() as u8 + 1);
        out.extend_from_slice(&[0; 6]);
        // MariaDB's extended capabilities stand in what MySQL reserves; zero for a server that claims LONG_PASSWORD.
        out.extend_from_slice(&capabilities[4..]);
        out.extend_from_slice(second);
        out.push(0);
        put_zero_ended(out, self.plugin.as_bytes());
    }

    /// Errors: an older protocol than 10, or a server without the 4.1 login: nothing made since 2004.
    pub fn decode(payload: &[u8]) -> Result<Greeting, WireError> {
        let mut cursor = Cursor::new(payload);
        if cursor.u8("protocol version")? != 10 {
            return Err(WireError::Malformed("protocol version"));
        }
        let version = text(cursor.zero_ended("server version")?);
        let connection_id = cursor.u32("connection id")?;
        let first: [u8; 8] = cursor.array("salt")?;
        cursor.u8("filler")?;
        let low = cursor.u16("capabilities")?;
        let collation = cursor.u8("collation")?;
        let status = ServerStatus(cursor.u16("status")?);
        let high = cursor.u16("capabilities")?;
        let base = Capabilities(u64::from(low) | u64::from(high) << 16);
        let salt_length = cursor.u8("salt length")?;
        cursor.bytes(6, "filler")?;
        let extended = cursor.u32("extended capabilities")?;
        let mariadb = !base.contains(Capabilities::LONG_PASSWORD);
        let capabilities = if mariadb { base | Capabilities(u64::from(extended) << 32) } else { base };
        if !capabilities.contains(Capabilities::SECURE_CONNECTION) {
            return Err(WireError::Malformed("login, which is older than 4.1"));
        }
        // The second part is at least 13 bytes, the last of them zero, whatever the length says.
        let second = cursor.bytes(usize::from(salt_length).saturating_sub(8).max(13).min(cursor.remaining()), "salt")?;
        let second: [u8; 12] = second.get(..12).and_then(|bytes| bytes.try_into().ok()).ok_or(WireError::Truncated("salt"))?;
        let mut salt = [0; 20];
        salt[..8].copy_from_slice(&first);
        salt[8..].copy_from_slice(&second);
        let plugin = if capabilities.contains(Capabilities::PLUGIN_AUTH) { text(cursor.zero_or_end()) } else { String::new() };
        Ok(Greeting { version, connection_id, capabilities, collation, status, salt: Salt(salt), plugin })
    }
}

/// The client's answer to the greeting (Protocol::HandshakeResponse41).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    pub capabilities: Capabilities,
    /// The longest packet the client wants to receive.
    pub max_packet: u32,
    pub collation: u8,
    pub user: String,
    pub auth_response: Vec<u8>,
    pub database: Option<String>,
    /// Empty when the client knows no plugins: `mysql_native_password`.
    pub plugin: String,
    /// `_pid`, `_client_name`, `program_name` and the like, in the client's order.
    pub attributes: Vec<(String, String)>,
}

/// What a client's packet after the greeting is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstPacket {
    Login(Login),
    /// The client wants TLS and sends its login inside.
    TlsRequest(Capabilities),
}

impl FirstPacket {
    /// Errors: besides bytes that make no sense, a client without PROTOCOL_41.
    pub fn decode(payload: &[u8]) -> Result<FirstPacket, WireError> {
        let mut cursor = Cursor::new(payload);
        let base = Capabilities(u64::from(cursor.u32("capabilities")?));
        if !base.contains(Capabilities::PROTOCOL_41) {
            return Err(WireError::Malformed("login, which is older than 4.1"));
        }
        let max_packet = cursor.u32("largest packet")?;
        let collation = cursor.u8("collation")?;
        cursor.bytes(19, "filler")?;
        let extended = cursor.u32("extended capabilities")?;
        let mariadb = !base.contains(Capabilities::LONG_PASSWORD);
        let capabilities = if mariadb { base | Capabilities(u64::from(extended) << 32) } else { base };
        if cursor.ended() && capabilities.contains(Capabilities::SSL) {
            return Ok(FirstPacket::TlsRequest(capabilities));
        }
        let user = text(cursor.zero_ended("user name")?);
        let auth_response = if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC) {
            cursor.lenenc_bytes("authentication response")?
        } else if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let length = cursor.u8("authentication response")?;
            cursor.bytes(usize::from(length), "authentication response")?
        } else {
            cursor.zero_ended("authentication response")?
        };
        let database = capabilities.contains(Capabilities::CONNECT_WITH_DB).then(|| text(cursor.zero_or_end()));
        let plugin = if capabilities.contains(Capabilities::PLUGIN_AUTH) { text(cursor.zero_or_end()) } else { String::new() };
        let attributes = if capabilities.contains(Capabilities::CONNECT_ATTRS) && !cursor.ended() {
            decode_attributes(cursor.lenenc_bytes("connection attributes")?)?
        } else {
            Vec::new()
        };
        Ok(FirstPacket::Login(Login {
            capabilities,
            max_packet,
            collation,
            user,
            auth_response: auth_response.to_vec(),
            database: database.filter(|name| !name.is_empty()),
            plugin,
            attributes,
        }))
    }
}

impl Login {
    /// What of it is sent follows from `capabilities`: a database only with CONNECT_WITH_DB, and so on.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_login_head(out, self.capabilities, self.max_packet, self.collation);
        put_zero_ended(out, self.user.as_bytes());
        if self.capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC) {
            put_lenenc_bytes(out, &self.auth_response);
        } else {
            let shortened = &self.auth_response[..self.auth_response.len().min(255)];
            out.push(shortened.len() as u8);
            out.extend_from_slice(shortened);
        }
        if self.capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            put_zero_ended(out, self.database.as_deref().unwrap_or_default().as_bytes());
        }
        if self.capabilities.contains(Capabilities::PLUGIN_AUTH) {
            put_zero_ended(out, self.plugin.as_bytes());
        }
        if self.capabilities.contains(Capabilities::CONNECT_ATTRS) {
            let mut pairs = Vec::new();
            for (name, value) in &self.attributes {
                put_lenenc_bytes(&mut pairs, name.as_bytes());
                put_lenenc_bytes(&mut pairs, value.as_bytes());
            }
            put_lenenc_int(out, pairs.len() as u64);
            out.extend_from_slice(&pairs);
        }
    }
}

/// Protocol::SSLRequest: the first half of a login, sent in the clear so that the rest need not be.
pub fn put_tls_request(out: &mut Vec<u8>, capabilities: Capabilities, max_packet: u32, collation: u8) {
    put_login_head(out, capabilities | Capabilities::SSL, max_packet, collation);
}

/// COM_CHANGE_USER: another login on the same connection. `payload` without the command byte; `capabilities` are those of the first.
pub fn decode_change_user(payload: &[u8], capabilities: Capabilities) -> Result<Login, WireError> {
    let mut cursor = Cursor::new(payload);
    let user = text(cursor.zero_ended("user name")?);
    let auth_response = if capabilities.contains(Capabilities::SECURE_CONNECTION) {
        let length = cursor.u8("authentication response")?;
        cursor.bytes(usize::from(length), "authentication response")?
    } else {
        cursor.zero_ended("authentication response")?
    };
    let database = text(cursor.zero_or_end());
    // What follows may be missing, as it is with clients of the 4.1 days.
    let collation = if cursor.remaining() >= 2 { cursor.u16("collation")? as u8 } else { 0 };
    let plugin = if capabilities.contains(Capabilities::PLUGIN_AUTH) { text(cursor.zero_or_end()) } else { String::new() };
    let attributes = if capabilities.contains(Capabilities::CONNECT_ATTRS) && !cursor.ended() {
        decode_attributes(cursor.lenenc_bytes("connection attributes")?)?
    } else {
        Vec::new()
    };
    Ok(Login {
        capabilities,
        max_packet: 0,
        collation,
        user,
        auth_response: auth_response.to_vec(),
        database: Some(database).filter(|name| !name.is_empty()),
        plugin,
        attributes,
    })
}

/// COM_CHANGE_USER with its command byte.
pub fn put_change_user(out: &mut Vec<u8>, login: &Login) {
    out.push(0x11);
    put_zero_ended(out, login.user.as_bytes());
    let shortened = &login.auth_response[..login.auth_response.len().min(255)];
    out.push(shortened.len() as u8);
    out.extend_from_slice(shortened);
    put_zero_ended(out, login.database.as_deref().unwrap_or_default().as_bytes());
    out.extend_from_slice(&u16::from(login.collation).to_le_bytes());
    if login.capabilities.contains(Capabilities::PLUGIN_AUTH) {
        put_zero_ended(out, login.plugin.as_bytes());
    }
    if login.capabilities.contains(Capabilities::CONNECT_ATTRS) {
        put_lenenc_int(out, 0);
    }
}

/// What a server says between the login and its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthStep<'a> {
    /// Answer for this plugin and these bytes instead.
    Switch { plugin: &'a str, data: &'a [u8] },
    /// The plugin's own affair (0x01).
    More(&'a [u8]),
    /// OK: see [`crate::OkPacket`].
    Accepted,
    /// ERR: see [`crate::ErrPacket`].
    Refused,
}

impl AuthStep<'_> {
    pub fn decode(payload: &[u8]) -> Result<AuthStep<'_>, WireError> {
        let mut cursor = Cursor::new(payload);
        match cursor.u8("authentication step")? {
            0x00 => Ok(AuthStep::Accepted),
            0xff => Ok(AuthStep::Refused),
            0x01 => Ok(AuthStep::More(cursor.to_end())),
            // Without a name it is the request of the days before 4.1, which nothing here answers.
            0xfe if cursor.ended() => Err(WireError::Malformed("request for a login older than 4.1")),
            0xfe => {
                let plugin = std::str::from_utf8(cursor.zero_ended("plugin name")?).map_err(|_| WireError::Malformed("plugin name"))?;
                let data = cursor.to_end();
                // The zero that ends a salt is not part of it; MariaDB's nonce is binary, may end with one of its own and has none behind it.
                let data = if plugin == ED25519 { data } else { data.strip_suffix(&[0]).unwrap_or(data) };
                Ok(AuthStep::Switch { plugin, data })
            }
            _ => Err(WireError::Malformed("authentication step")),
        }
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            AuthStep::Switch { plugin, data } => {
                out.push(0xfe);
                put_zero_ended(out, plugin.as_bytes());
                out.extend_from_slice(data);
                if *plugin != ED25519 {
                    out.push(0);
                }
            }
            AuthStep::More(data) => {
                out.push(0x01);
                out.extend_from_slice(data);
            }
            AuthStep::Accepted => out.push(0x00),
            AuthStep::Refused => out.push(0xff),
        }
    }
}

// === helpers ===

fn put_login_head(out: &mut Vec<u8>, capabilities: Capabilities, max_packet: u32, collation: u8) {
    let capabilities = capabilities.0.to_le_bytes();
    out.extend_from_slice(&capabilities[..4]);
    out.extend_from_slice(&max_packet.to_le_bytes());
    out.push(collation);
    out.extend_from_slice(&[0; 19]);
    out.extend_from_slice(&capabilities[4..]);
}

fn decode_attributes(bytes: &[u8]) -> Result<Vec<(String, String)>, WireError> {
    let mut cursor = Cursor::new(bytes);
    let mut attributes = Vec::new();
    while !cursor.ended() {
        let name = cursor.lenenc_bytes("connection attribute")?;
        let value = cursor.lenenc_bytes("connection attribute")?;
        if attributes.len() < ATTRIBUTES_MAX {
            attributes.push((text(name), text(value)));
        }
    }
    Ok(attributes)
}

/// Names on the wire are in the client's character set; those that are not UTF-8 match no user and no database of ours.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
