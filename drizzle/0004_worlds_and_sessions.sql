CREATE TABLE "postern"."master_keys" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"check_value" "bytea" NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"retired_at" timestamp with time zone,
	CONSTRAINT "master_keys_platform_id_pk" PRIMARY KEY("platform","id"),
	CONSTRAINT "master_keys_check_size" CHECK (octet_length("postern"."master_keys"."check_value") = 32)
);
--> statement-breakpoint
ALTER TABLE "postern"."master_keys" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "secrets" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"environment" text COLLATE "C" DEFAULT postern.scope_environment() NOT NULL,
	"tenant" text COLLATE "C" DEFAULT postern.scope_tenant() NOT NULL,
	"session_id" text COLLATE "C" NOT NULL,
	"name" text COLLATE "C" NOT NULL,
	"key_version" integer NOT NULL,
	"sealed" "bytea" NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "secrets_platform_environment_tenant_session_id_name_pk" PRIMARY KEY("platform","environment","tenant","session_id","name"),
	CONSTRAINT "environment" CHECK ("secrets"."environment" in ('test', 'live')),
	CONSTRAINT "secrets_sealed_size" CHECK (octet_length("secrets"."sealed") > 28)
);
--> statement-breakpoint
ALTER TABLE "secrets" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "session_salts" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"environment" text COLLATE "C" DEFAULT postern.scope_environment() NOT NULL,
	"tenant" text COLLATE "C" DEFAULT postern.scope_tenant() NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"salt" "bytea" NOT NULL,
	CONSTRAINT "session_salts_platform_environment_tenant_id_pk" PRIMARY KEY("platform","environment","tenant","id"),
	CONSTRAINT "environment" CHECK ("session_salts"."environment" in ('test', 'live')),
	CONSTRAINT "session_salts_size" CHECK (octet_length("session_salts"."salt") = 32)
);
--> statement-breakpoint
ALTER TABLE "session_salts" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "sessions" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"environment" text COLLATE "C" DEFAULT postern.scope_environment() NOT NULL,
	"tenant" text COLLATE "C" DEFAULT postern.scope_tenant() NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"ended_at" timestamp with time zone,
	"seals" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "sessions_platform_environment_tenant_id_pk" PRIMARY KEY("platform","environment","tenant","id"),
	CONSTRAINT "environment" CHECK ("sessions"."environment" in ('test', 'live'))
);
--> statement-breakpoint
ALTER TABLE "sessions" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "test_world" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"environment" text COLLATE "C" DEFAULT postern.scope_environment() NOT NULL,
	"tenant" text COLLATE "C" DEFAULT postern.scope_tenant() NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"collection" text COLLATE "C" NOT NULL,
	"thing" text COLLATE "C",
	"data" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	CONSTRAINT "test_world_platform_environment_tenant_id_pk" PRIMARY KEY("platform","environment","tenant","id"),
	CONSTRAINT "environment" CHECK ("test_world"."environment" in ('test', 'live'))
);
--> statement-breakpoint
ALTER TABLE "test_world" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "secrets" ADD CONSTRAINT "secrets_session" FOREIGN KEY ("platform","environment","tenant","session_id") REFERENCES "public"."sessions"("platform","environment","tenant","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "secrets_version" ON "secrets" USING btree ("platform","environment","tenant","key_version");--> statement-breakpoint
CREATE INDEX "sessions_created" ON "sessions" USING btree ("platform","environment","tenant","created_at","id");--> statement-breakpoint
CREATE INDEX "sessions_user" ON "sessions" USING btree ("platform","environment","tenant","user_id","created_at","id");--> statement-breakpoint
CREATE INDEX "test_world_collection" ON "test_world" USING btree ("platform","environment","tenant","collection","created_at","id");--> statement-breakpoint
CREATE POLICY "platform_scope" ON "postern"."master_keys" AS PERMISSIVE FOR ALL TO "postern_gateway" USING ((platform) = (select postern.scope_platform())) WITH CHECK ((platform) = (select postern.scope_platform()));--> statement-breakpoint
CREATE POLICY "tenant_scope" ON "secrets" AS PERMISSIVE FOR ALL TO "postern_tenant" USING ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant())) WITH CHECK ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant()));--> statement-breakpoint
CREATE POLICY "tenant_scope" ON "session_salts" AS PERMISSIVE FOR ALL TO "postern_tenant" USING ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant())) WITH CHECK ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant()));--> statement-breakpoint
CREATE POLICY "tenant_scope" ON "sessions" AS PERMISSIVE FOR ALL TO "postern_tenant" USING ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant())) WITH CHECK ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant()));--> statement-breakpoint
CREATE POLICY "tenant_scope" ON "test_world" AS PERMISSIVE FOR ALL TO "postern_tenant" USING ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant())) WITH CHECK ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant()));