CREATE TABLE "postern"."api_key_secrets" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"id" text COLLATE "C" DEFAULT 'sec_' || replace(gen_random_uuid()::text, '-', '') NOT NULL,
	"key_id" text COLLATE "C" NOT NULL,
	"digest" "bytea" NOT NULL,
	"pepper_version" integer NOT NULL,
	"last4" text COLLATE "C" NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone,
	CONSTRAINT "api_key_secrets_platform_id_pk" PRIMARY KEY("platform","id"),
	CONSTRAINT "api_key_secrets_digest_size" CHECK (octet_length("postern"."api_key_secrets"."digest") = 32)
);
--> statement-breakpoint
ALTER TABLE "postern"."api_key_secrets" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "postern"."api_keys" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"id" text COLLATE "C" DEFAULT 'key_' || replace(gen_random_uuid()::text, '-', '') NOT NULL,
	"environment" text COLLATE "C" NOT NULL,
	"class" text COLLATE "C" NOT NULL,
	"name" text COLLATE "C" NOT NULL,
	"prefix" text COLLATE "C" NOT NULL,
	"ref" text COLLATE "C" NOT NULL,
	"tenants" text[],
	"permissions" text[] NOT NULL,
	"restrictions" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"limits" jsonb,
	"metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"expires_at" timestamp with time zone,
	"disabled_at" timestamp with time zone,
	"revoked_at" timestamp with time zone,
	"last_used_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "api_keys_platform_id_pk" PRIMARY KEY("platform","id"),
	CONSTRAINT "api_keys_environment" CHECK ("postern"."api_keys"."environment" in ('test', 'live')),
	CONSTRAINT "api_keys_class" CHECK ("postern"."api_keys"."class" in ('secret', 'publishable'))
);
--> statement-breakpoint
ALTER TABLE "postern"."api_keys" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "subscriptions" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"environment" text COLLATE "C" DEFAULT postern.scope_environment() NOT NULL,
	"tenant" text COLLATE "C" DEFAULT postern.scope_tenant() NOT NULL,
	"id" text COLLATE "C" DEFAULT 'sub_' || replace(gen_random_uuid()::text, '-', '') NOT NULL,
	"plan" text COLLATE "C" NOT NULL,
	"status" text COLLATE "C" DEFAULT 'active' NOT NULL,
	"seats" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "subscriptions_platform_environment_tenant_id_pk" PRIMARY KEY("platform","environment","tenant","id"),
	CONSTRAINT "environment" CHECK ("subscriptions"."environment" in ('test', 'live'))
);
--> statement-breakpoint
ALTER TABLE "subscriptions" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "postern"."tenants" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"suspended_at" timestamp with time zone,
	"metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "tenants_platform_id_pk" PRIMARY KEY("platform","id"),
	CONSTRAINT "tenants_id_shape" CHECK ("postern"."tenants"."id" ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$')
);
--> statement-breakpoint
ALTER TABLE "postern"."tenants" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "postern"."api_key_secrets" ADD CONSTRAINT "api_key_secrets_platform_key_id_api_keys_platform_id_fk" FOREIGN KEY ("platform","key_id") REFERENCES "postern"."api_keys"("platform","id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "api_key_secrets_digest" ON "postern"."api_key_secrets" USING btree ("digest");--> statement-breakpoint
CREATE INDEX "api_key_secrets_key" ON "postern"."api_key_secrets" USING btree ("platform","key_id");--> statement-breakpoint
CREATE UNIQUE INDEX "api_keys_ref" ON "postern"."api_keys" USING btree ("platform","ref") WHERE "postern"."api_keys"."ref" <> '';--> statement-breakpoint
CREATE POLICY "platform_scope" ON "postern"."api_key_secrets" AS PERMISSIVE FOR ALL TO "postern_gateway" USING ((platform) = (select postern.scope_platform())) WITH CHECK ((platform) = (select postern.scope_platform()));--> statement-breakpoint
CREATE POLICY "lookup" ON "postern"."api_key_secrets" AS PERMISSIVE FOR SELECT TO "postern_lookup" USING (true);--> statement-breakpoint
CREATE POLICY "platform_scope" ON "postern"."api_keys" AS PERMISSIVE FOR ALL TO "postern_gateway" USING ((platform) = (select postern.scope_platform())) WITH CHECK ((platform) = (select postern.scope_platform()));--> statement-breakpoint
CREATE POLICY "lookup" ON "postern"."api_keys" AS PERMISSIVE FOR SELECT TO "postern_lookup" USING (true);--> statement-breakpoint
CREATE POLICY "tenant_scope" ON "subscriptions" AS PERMISSIVE FOR ALL TO "postern_tenant" USING ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant())) WITH CHECK ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant()));--> statement-breakpoint
CREATE POLICY "platform_scope" ON "postern"."tenants" AS PERMISSIVE FOR ALL TO "postern_gateway" USING ((platform) = (select postern.scope_platform())) WITH CHECK ((platform) = (select postern.scope_platform()));